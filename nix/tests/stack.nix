# What tests/e2e/nix boots: a host with CVAT whose programs are those of the machine that the test runs on.
{
  cvatd, # path of the program
  memoryMax ? "2048M",
  workers ? { },
  autoInit ? true,
  readyTimeout ? 600,
}:
let
  lib = import <nixpkgs/lib>;
  host = import ./host.nix { };
  isOurs = name: builtins.match "(podman-(network-)?)?cvat.*" name != null;

  inherit
    (host {
      configuration =
        { pkgs, ... }:
        {
          services.cvat = {
            enable = true;
            package = pkgs.writeShellScriptBin "cvatd" ''exec ${cvatd} "$@"'';
            resources = {
              inherit memoryMax;
              memoryHigh = memoryMax;
              cpuQuota = "400%";
            };
            inherit autoInit readyTimeout workers;
          };
          # The Python of the tests may lie below a home or a folder for temporary files.
          systemd.services = lib.genAttrs [ "cvat-secrets" "cvat-init" "cvat-ready" "cvatd" ] (_: {
            serviceConfig.ProtectHome = lib.mkForce false;
            serviceConfig.PrivateTmp = lib.mkForce false;
          });
        };
    })
    config
    pkgs
    ;
  units = lib.filterAttrs (name: unit: unit.enable && isOurs name) config.systemd.units;
  folder =
    name: files:
    pkgs.linkFarm name (lib.mapAttrsToList (file: text: { name = file; path = pkgs.writeText "file" text; }) files);
in
folder "host" (
  lib.mapAttrs' (name: unit: lib.nameValuePair "units/${name}" unit.text) units
  # What NixOS links below <unit>.wants.
  // lib.concatMapAttrs (
    name: unit:
    builtins.listToAttrs (map (target: lib.nameValuePair "wants/${target}/${name}" "") unit.wantedBy)
  ) units
  // {
    "settings.json" = builtins.readFile config.environment.etc."cvatd/settings.json".source;
  }
)
