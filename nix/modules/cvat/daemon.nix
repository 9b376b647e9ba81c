# cvatd.service: watches CVAT's containers, explains what is wrong, and asks systemd to mend it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cvat = config.services.cvat;
  hardening = import ../../lib/hardening.nix;
in
{
  config = lib.mkIf cvat.enable {
    systemd.slices.cvatd = {
      description = "cvatd";
      sliceConfig.MemoryAccounting = true;
    };

    systemd.services.cvatd = {
      description = "cvatd: watches CVAT";
      wantedBy = [ "multi-user.target" ];
      requires = [ "podman.socket" ];
      wants = [ "cvat-secrets.service" ];
      after = [
        "podman.socket"
        "cvat-secrets.service"
      ];
      environment.CVATD_CONFIG = "/etc/cvatd/settings.json";
      path = [
        config.systemd.package
        config.virtualisation.podman.package
        pkgs.iproute2
      ];
      restartTriggers = [ config.environment.etc."cvatd/settings.json".source ];
      unitConfig.RequiresMountsFor = [ cvat.dataDir ];
      startLimitIntervalSec = 300;
      startLimitBurst = 20;
      serviceConfig = hardening.common // {
        Type = "notify";
        NotifyAccess = "main";
        WatchdogSec = "180s"; # it may wait 30 s for a Podman that hangs
        TimeoutStopSec = "10s";
        MemoryMax = "256M";
        ExecStart = "${lib.getExe' cvat.package "cvatd"} daemon";
        Slice = "cvatd.slice";
        Restart = "always";
        RestartSec = "5s";
        RuntimeDirectory = "cvatd";
        RuntimeDirectoryMode = "0755"; # the socket itself says who may speak to it
        ReadWritePaths = [ "-${cvat.dataDir}" ];
        ProtectHome = hardening.protectHome [ cvat.dataDir ];
        CapabilityBoundingSet = [
          "CAP_CHOWN" # repairs owners of CVAT's folders
          "CAP_DAC_OVERRIDE" # reads secrets of containers
          "CAP_FOWNER"
          "CAP_NET_ADMIN" # keeps the address of the containers' bridge
          "CAP_NET_RAW" # tells neighbours there of a container's new address
          "CAP_SYS_PTRACE" # reads which cgroup and namespace each process of a container is in
        ];
        PrivateDevices = true;
        PrivateMounts = true; # it mounts nothing, and what it might would stay its own
        RestrictAddressFamilies = [
          "AF_UNIX"
          "AF_INET" # asks CVAT by its published port
          "AF_INET6"
          "AF_PACKET" # speaks ARP on the containers' bridge
        ];
        SystemCallFilter = [
          "@system-service"
          "~@resources"
        ];
      };
    };
  };
}
