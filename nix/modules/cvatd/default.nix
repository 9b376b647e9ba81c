# services.cvatd: training on this host, and the daemon that watches CVAT.
{
  config,
  lib,
  pkgs,
  ...
}:
{
  key = "cvatd/cvatd";
  _file = ./default.nix;
  imports = [
    ../ports.nix
    ../ts-proxy.nix
    ./options.nix
    ./checks.nix
    ./units.nix
  ];

  # One file for all: what CVAT's module declares stands below `stack`.
  config = lib.mkIf (config.services.cvat.enable or false || config.services.cvatd.enable) {
    environment.etc."cvatd/settings.json".source =
      (pkgs.formats.json { }).generate "settings.json" config.services.cvatd.settings;
  };
}
