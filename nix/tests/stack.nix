# What tests/e2e/nix boots: a host with CVAT, and with trainings where a trainer is named, whose programs are those of
# the machine that the test runs on.
{
  cvatd, # path of the program
  trainer ? null, # path of a Python with torch and Ultralytics
  memoryMax ? "2048M",
  autoInit ? true,
  readyTimeout ? 600,
  workers ? { },
}:
let
  lib = import <nixpkgs/lib>;
  host = import ./host.nix { };
  isOurs = name: builtins.match "(podman-(network-)?)?cvat.*|postgresql\\..*|redis-cvatd\\..*" name != null;

  inherit
    (host {
      configuration =
        { pkgs, ... }:
        let
          package = pkgs.writeShellScriptBin "cvatd" ''exec ${cvatd} "$@"'';
        in
        {
          services.cvat = {
            enable = true;
            inherit package;
            resources = {
              inherit memoryMax;
              memoryHigh = memoryMax;
              cpuQuota = "400%";
            };
            inherit autoInit readyTimeout workers;
          };
          services.cvatd = lib.mkIf (trainer != null) {
            enable = true;
            inherit package;
            training.python = pkgs.writeShellScriptBin "python3" ''exec ${toString trainer} "$@"'';
            settings.dataset.file_roots = [ "/srv" ];
          };
          services.postgresql.package = pkgs.postgresql_15;
          # The Python of the tests may lie below a home or a folder for temporary files.
          systemd.services =
            lib.genAttrs
              (
                [
                  "cvat-secrets"
                  "cvat-init"
                  "cvat-ready"
                  "cvatd"
                ]
                ++ lib.optionals (trainer != null) [
                  "cvatd-migrate"
                  "cvatd-web"
                  "cvatd-trainer@"
                ]
              )
              (_: {
                serviceConfig.ProtectHome = lib.mkForce false;
                serviceConfig.PrivateTmp = lib.mkForce false;
              });
        };
    })
    config
    pkgs
    ;
  units = lib.filterAttrs (name: unit: unit.enable && isOurs name) config.systemd.units;
  users = lib.getAttrs (lib.optionals (trainer != null) [
    "cvatd"
    "redis-cvatd"
  ]) config.users.users;
  folders = lib.concatMapAttrs (_: rules: rules) (
    lib.filterAttrs (name: _: lib.hasPrefix "10-cvat" name) config.systemd.tmpfiles.settings
  );
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
    # What NixOS makes of users and folders, in the words of systemd-sysusers and systemd-tmpfiles.
    "users.conf" = lib.concatStrings (
      lib.mapAttrsToList (name: user: "u ${name} - \"${user.description}\" ${user.home}\n") users
    );
    "folders.conf" = lib.concatStrings (
      lib.mapAttrsToList (path: rules: "d ${path} ${rules.d.mode} ${rules.d.user} ${rules.d.group}\n") folders
    );
  }
)
