# What tests/nix/test_units.py asks: the units of a host that declares everything, as text and as files.
{
  nixpkgs ? <nixpkgs>,
  system ? builtins.currentSystem,
}:
let
  lib = import (nixpkgs + "/lib");
  host = import ./host.nix { inherit nixpkgs system; };
  isOurs = name: builtins.match "(podman-(network-)?)?(cvat|ts-proxy|cache).*" name != null;

  declared =
    { pkgs, ... }:
    let
      # Programs whose names alone matter here: our own package and Tailscale are not built for this.
      program = name: pkgs.writeShellScriptBin name "exit 0";
    in
    {
      services.cvat = {
        enable = true;
        package = program "cvatd";
        version = "2.52.0";
        share = "/srv/images";
        resources.containers.cvat-server = "1G";
        extraContainers.cache = {
          image = "docker.io/library/memcached:1.6";
          needs = [ "cvat-server" ];
        };
      };
      services.cvatd = {
        enable = true;
        package = program "cvatd";
        signingKeyFile = "/run/secrets/cvatd-signing-key";
        training = {
          python = program "python3";
          workers = 2;
          gpus = [ "all" ];
          memoryMax = "32G";
        };
      };
      services.ts-proxy = {
        enable = true;
        package = program "tailscaled";
        network-domain = "stargazer-shark.ts.net";
      };
    };

  inherit (host { configuration = declared; }) config pkgs;
  units = lib.filterAttrs (name: unit: unit.enable && isOurs name) config.systemd.units;
in
{
  texts = builtins.mapAttrs (_: unit: unit.text) units;
  wanted = builtins.mapAttrs (_: unit: unit.wantedBy) units;
  settings = config.services.cvatd.settings;
  tmpfiles = config.systemd.tmpfiles.settings."10-cvatd";
  ident = config.services.postgresql.identMap;
  containers = lib.mapAttrs (_: container: {
    inherit (container)
      image
      cmd
      environment
      volumes
      ports
      hostname
      labels
      extraOptions
      ;
  }) config.virtualisation.oci-containers.containers;
  rendered = config.services.cvat.rendered.containers;
  serves = config.services.ts-proxy.hosts;

  # The units as files, with every script that they name.
  folder = pkgs.linkFarm "units" (
    lib.mapAttrsToList (name: unit: {
      inherit name;
      path = pkgs.writeText "unit" unit.text;
    }) units
  );
}
