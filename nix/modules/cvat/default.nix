# services.cvat: CVAT in containers that systemd manages.
{ config, lib, ... }:
let
  inherit (import ./render.nix { inherit lib; })
    chooseVersion
    releases
    render
    standardWorkers
    ;
  cfg = config.services.cvat;
  release = releases.find (chooseVersion { inherit (cfg) images version; });
in
{
  key = "cvatd/cvat";
  _file = ./default.nix;
  imports = [
    ../ports.nix
    ../ts-proxy.nix
    ../cvatd
    ./options.nix
    ./checks.nix
    ./containers.nix
    ./units.nix
    ./daemon.nix
  ];

  config.services.cvat = {
    stack = import ./stack.nix { inherit lib cfg; };
    rendered = render cfg.stack;
    workers = builtins.mapAttrs (_: queues: { queues = lib.mkDefault queues; }) (standardWorkers release);
  };
}
