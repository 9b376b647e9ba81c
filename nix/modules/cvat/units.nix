# The units beside the containers' own: cvat.service and its target, network, secrets, init, the slice.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.cvat;
  inherit (cfg.rendered) containers network;

  podman = lib.getExe config.virtualisation.podman.package;
  systemctl = lib.getExe' config.systemd.package "systemctl";
  cvatd = lib.getExe' cfg.package "cvatd";
  networkName = "podman-network-${network}";
  hardening = import ../../lib/hardening.nix;
  units = map (container: "podman-${container.name}.service") containers;

  start = pkgs.writeShellScript "cvat-start" ''
    # Why one does not start is told below.
    ${systemctl} --quiet start cvat.target ${toString units} || true
    failed=
    for unit in ${toString units}; do
      ${systemctl} is-active --quiet "$unit" || failed="$failed $unit"
    done
    if [ -n "$failed" ]; then
      echo "These do not run:$failed. Why: journalctl --unit=<one of them> --lines=30" >&2
      exit 1
    fi
    ${lib.optionalString cfg.waitUntilReady ''
      if ! ${systemctl} --quiet start cvat-ready.service; then
        echo "All containers run, and CVAT is not ready. Why: journalctl --unit=cvat-ready.service --lines=30" >&2
        exit 1
      fi
    ''}
  '';

  stop = pkgs.writeShellScript "cvat-stop" ''
    ${systemctl} stop cvat.target ${toString units}
    ${systemctl} stop ${networkName}.service
  '';

  makeNetwork = pkgs.writeShellScript "cvat-network" ''
    ${podman} network exists ${network} || exec ${podman} network create --label cvatd.stack=${network} ${network}
  '';

  removeNetwork = pkgs.writeShellScript "cvat-network-remove" ''
    ${podman} network exists ${network} || exit 0
    exec ${podman} network rm --force ${network}
  '';

  # Migrations of a large database; `cvatd init` bounds itself below this.
  initTimeout = 5 * 3600;

  # Those that init needs: what the server does.
  stores = map (need: "podman-${need}.service") (
    lib.findFirst (container: container.name == "cvat-server") { needs = [ ]; } containers
  ).needs;

  # Runs cvatd as root, through Podman's socket.
  own = {
    after = [ "podman.socket" ];
    requires = [ "podman.socket" ];
    restartIfChanged = false;
    environment.CVATD_CONFIG = "/etc/cvatd/settings.json";
    path = [
      config.virtualisation.podman.package
      config.systemd.package
    ];
    unitConfig.RequiresMountsFor = [ cfg.dataDir ];
  };

  # Root, for its files belong to the numbers of users inside of containers.
  rootConfig = hardening.common // {
    Type = "oneshot";
    Slice = "cvatd.slice"; # CVAT's limits are CVAT's
    CapabilityBoundingSet = [
      "CAP_CHOWN" # folders and secrets are given to their containers
      "CAP_DAC_OVERRIDE" # and written below folders that are others' already
      "CAP_FOWNER"
    ];
    PrivateDevices = true;
    ProtectProc = "invisible";
    ProcSubset = "pid";
    # Podman's and systemd's sockets; nothing beyond this host.
    RestrictAddressFamilies = [ "AF_UNIX" ];
    IPAddressDeny = "any";
    SystemCallFilter = [
      "@system-service"
      "~@resources"
    ];
  };

  # For what asks CVAT by its published port, or a database that is elsewhere.
  outward = removeAttrs rootConfig [ "IPAddressDeny" ] // {
    RestrictAddressFamilies = [
      "AF_UNIX"
      "AF_INET"
      "AF_INET6"
    ];
  };

  paths = [ cfg.dataDir ] ++ builtins.filter (file: file != null) [
    cfg.superuser.passwordFile
    cfg.database.passwordFile
  ];
in
{
  config = lib.mkIf cfg.enable {
    networking.ports.cvat.enable = lib.mkDefault true;

    services.cvatd.settings.stack = cfg.stack;

    systemd.slices.cvat = {
      description = "CVAT's containers";
      sliceConfig = {
        CPUAccounting = true;
        MemoryAccounting = true;
        TasksAccounting = true;
        CPUQuota = cfg.resources.cpuQuota;
        MemoryHigh = cfg.resources.memoryHigh;
        MemoryMax = cfg.resources.memoryMax;
      };
    };

    # Only root may enter it: the numbers of the folders below may be those of people on this host.
    systemd.tmpfiles.settings."10-cvat".${lib.removeSuffix "/" cfg.dataDir}.d = {
      user = "root";
      group = "root";
      mode = "0700";
    };

    # Not partOf cvat.service: a target comes after what it is part of, and cvat.service waits for this one.
    systemd.targets.cvat.description = "All of CVAT's containers";

    systemd.services.cvat = {
      description = "CVAT";
      documentation = [ "https://docs.cvat.ai/" ];
      wantedBy = lib.optional cfg.autoStart "multi-user.target";
      # A change of one container restarts that container, and this one stays as it is.
      restartIfChanged = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        # Started and stopped from inside, so that `systemctl start|stop cvat` ends when all containers have.
        ExecStart = start;
        ExecStop = stop;
        # What it waits for has bounds of its own: pulls, then migrations, then readiness.
        TimeoutStartSec = "${toString (cfg.pullTimeout * 3 + initTimeout + cfg.readyTimeout + 300)}s";
        TimeoutStopSec = "300s";
      };
    };

    systemd.services.${networkName} = {
      description = "CVAT: the containers' network";
      partOf = [ "cvat.service" ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = makeNetwork;
        ExecStop = removeNetwork;
        TimeoutStartSec = "60s";
      };
    };

    systemd.services.cvat-secrets = lib.mkMerge [
      own
      {
        description = "CVAT: folders, secrets and the proxy's configuration";
        serviceConfig = rootConfig // {
          ExecStart = "${cvatd} prepare";
          ReadWritePaths = [ "-${cfg.dataDir}" ];
          ProtectHome = hardening.protectHome paths;
          TimeoutStartSec = "60s";
        };
      }
    ];

    systemd.services.cvat-init = lib.mkMerge [
      own
      {
        description = "CVAT: migrations and superuser";
        after = [
          "${networkName}.service"
          "cvat-secrets.service"
        ]
        ++ stores;
        requires = [
          "${networkName}.service"
          "cvat-secrets.service"
        ];
        wants = stores;
        serviceConfig = (if cfg.database.createLocally then rootConfig else outward) // {
          ExecStart = "${cvatd} init";
          ReadWritePaths = [ "-${cfg.dataDir}" ];
          ProtectHome = hardening.protectHome paths;
          TimeoutStartSec = "${toString initTimeout}s";
        };
      }
    ];

    # Started by cvat.service as the last of all: nothing comes after it and it orders nothing, so nothing waits for ever.
    systemd.services.cvat-ready = lib.mkMerge [
      own
      {
        description = "CVAT: until it is ready";
        partOf = [ "cvat.service" ];
        serviceConfig = outward // {
          ExecStart = "${cvatd} wait";
          SuccessExitStatus = 143; # told to end by a stop of cvat.service
          CapabilityBoundingSet = [ "CAP_DAC_READ_SEARCH" ]; # reads what belongs to containers
          inherit (hardening.ordinary) SystemCallFilter; # it changes nothing
          ProtectHome = hardening.protectHome paths;
          # `cvatd wait` ends by itself, with the reason.
          TimeoutStartSec = "${toString (cfg.readyTimeout + 120)}s";
        };
      }
    ];

    # Containers ask the host's Podman for each other's names.
    networking.firewall.interfaces.${if config.networking.nftables.enable then "podman*" else "podman+"} = {
      allowedUDPPorts = [ 53 ];
      allowedTCPPorts = [ 53 ];
    };
    networking.firewall.allowedTCPPorts = lib.optional cfg.openFirewall cfg.port;

    services.ts-proxy = lib.mkIf cfg.tsProxy.enable {
      hosts.cvat = {
        address = "127.0.0.1:${toString cfg.port}";
        enableTLS = lib.mkDefault true;
        proxies = [ "cvat.service" ];
      };
    };

    # With cvat-manage, which goes to root by sudo: who may enter CVAT's container may do all in CVAT.
    environment.systemPackages = [ cfg.package ];
  };
}
