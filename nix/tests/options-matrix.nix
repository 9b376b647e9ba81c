# What tests/nix/test_matrix.py asks: what single options change in the host.
let
  lib = import <nixpkgs/lib>;
  host = import ./host.nix { };

  ask =
    declared:
    let
      inherit
        (host {
          configuration =
            { pkgs, ... }:
            lib.recursiveUpdate {
              services.cvat = {
                enable = true;
                package = pkgs.writeShellScriptBin "cvatd" "exit 0";
              };
              services.cvatd = {
                package = pkgs.writeShellScriptBin "cvatd" "exit 0";
                training.python = pkgs.writeShellScriptBin "python3" "exit 0";
              };
            } declared;
        })
        config
        ;
      unit = name: config.systemd.services.${name};
      service = name: (unit name).serviceConfig;
    in
    {
      cvatWantedBy = (unit "cvat").wantedBy;
      serverWants = (unit "podman-cvat-server").wants;
      containers = builtins.attrNames config.virtualisation.oci-containers.containers;
      ports = config.virtualisation.oci-containers.containers.cvat-proxy.ports;
      tcp = config.networking.firewall.allowedTCPPorts;
      bridges = lib.filterAttrs (_: udp: udp == [ 53 ]) (
        builtins.mapAttrs (_: interface: interface.allowedUDPPorts) config.networking.firewall.interfaces
      );
      secrets = {
        inherit (service "cvat-secrets") ProtectHome ReadWritePaths;
      };
      initReaches = {
        inherit (service "cvat-init") RestrictAddressFamilies;
        denied = (service "cvat-init").IPAddressDeny or null;
      };
      folder = builtins.attrNames config.systemd.tmpfiles.settings."10-cvat";
      slice = config.systemd.slices.cvat.sliceConfig;
      warnings = builtins.filter (lib.hasInfix "CVAT") config.warnings ++ builtins.filter (lib.hasInfix "services.cvat") config.warnings;
      stopTimeout = (service "podman-cvat-worker-default").TimeoutStopSec;
      # Of what trains, where something does.
      triggers = lib.concatMap (name: (config.systemd.services.${name} or { restartTriggers = [ ]; }).restartTriggers) [
        "cvatd-migrate"
        "cvatd-web"
        "cvatd-trainer@"
      ];
      startTimeout = (service "podman-cvat-worker-default").TimeoutStartSec;
    };
in
builtins.mapAttrs (_: ask) {
  standard = { };
  autoStart.services.cvat.autoStart = true;
  noInit.services.cvat.autoInit = false;
  open.services.cvat.openFirewall = true;
  nftables.networking.nftables.enable = true;
  inHome.services.cvat.dataDir = "/home/cvat/data/";
  secretInRoot.services.cvat.superuser.passwordFile = "/root/secret";
  external.services.cvat.database = {
    createLocally = false;
    host = "db.example.com";
    passwordFile = "/run/secrets/database";
  };
  limits.services.cvat.resources = {
    cpuQuota = "250%";
    memoryHigh = "3G";
    memoryMax = "4G";
  };
  tight.services.cvat.resources = {
    memoryHigh = "500M";
    memoryMax = "600M";
  };
  plain.services.cvat.superuser.initialPassword = "changeme";
  mixed.services.cvat = {
    serverImage = "cvat/server:v2.52.0";
    uiImage = "cvat/ui:v2.51.0";
  };
  pull.services.cvat.pullTimeout = 600;
  trains.services.cvatd.enable = true;
  trainsBesideMore.services = {
    cvatd.enable = true;
    cvat.workers.low.processes = 2;
  };
  trainsElsewhere.services.cvatd = {
    enable = true;
    port = 5000;
  };
}
