# cvatd-web, cvatd-trainer@, the step before them, and their slices.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.cvatd;
  hardening = import ../../lib/hardening.nix;
  cvatd = lib.getExe' cfg.package "cvatd";

  stores =
    lib.optional cfg.database.createLocally (
      # Newer NixOS: the target stands for the server and the databases and users that are declared.
      if config.systemd.targets ? postgresql then "postgresql.target" else "postgresql.service"
    )
    ++ lib.optional cfg.redis.createLocally "redis-cvatd.service";

  credentials =
    lib.optional (cfg.signingKeyFile != null) "signing-key:${cfg.signingKeyFile}"
    ++ lib.optional (cfg.database.passwordFile != null) "pgpass:${cfg.database.passwordFile}";

  # %d is the folder of the unit's credentials.
  environment = {
    CVATD_CONFIG = "/etc/cvatd/settings.json";
    HOME = cfg.dataDir;
  }
  // lib.optionalAttrs (cfg.signingKeyFile != null) { CVATD_SIGNING_KEY_FILE = "%d/signing-key"; }
  // lib.optionalAttrs (cfg.database.passwordFile != null) { PGPASSFILE = "%d/pgpass"; };

  unit = {
    inherit environment;
    wants = stores ++ [ "network-online.target" ];
    after = stores ++ [ "network-online.target" ];
    # What the file says of CVAT's containers is not theirs to read: no training stops for that.
    restartTriggers = [ (builtins.toJSON (removeAttrs cfg.settings [ "stack" ])) ];
    unitConfig.RequiresMountsFor = [ cfg.dataDir ];
  };

  ordinary = hardening.ordinary // {
    User = "cvatd";
    Group = "cvatd";
    SupplementaryGroups = lib.optional cfg.redis.createLocally "redis-cvatd";
    LoadCredential = credentials;
    ReadWritePaths = [ cfg.dataDir ];
    WorkingDirectory = cfg.dataDir;
    ProtectHome = hardening.protectHome [ cfg.dataDir ];
  };

  afterMigrate = {
    requires = [ "cvatd-migrate.service" ];
    after = [ "cvatd-migrate.service" ];
    startLimitIntervalSec = 300;
    startLimitBurst = 20;
  };

  gpu = cfg.training.gpus != [ ];
  cdi = "nvidia-container-toolkit-cdi-generator.service";
in
{
  config = lib.mkIf cfg.enable {
    networking.ports.cvatd.enable = lib.mkDefault true;
    networking.firewall.allowedTCPPorts = lib.optional cfg.openFirewall cfg.port;

    services.cvatd.settings = {
      data_dir = lib.mkDefault cfg.dataDir;
      database_url = lib.mkDefault cfg.database.url;
      redis_url = lib.mkDefault cfg.redis.url;
      host = lib.mkDefault cfg.address;
      port = lib.mkDefault cfg.port;
      trainer.python = lib.mkDefault (lib.getExe' cfg.training.python "python3");
    }
    // lib.optionalAttrs (cfg.publicUrl != null) { public_url = lib.mkDefault cfg.publicUrl; };

    users.users.cvatd = {
      isSystemUser = true;
      group = "cvatd";
      home = cfg.dataDir;
      description = "Training";
    };
    users.groups.cvatd = { };

    # Its folders below are the service's own to make.
    systemd.tmpfiles.settings."10-cvatd".${lib.removeSuffix "/" cfg.dataDir}.d = {
      user = "cvatd";
      group = "cvatd";
      mode = "0750";
    };

    services.postgresql = lib.mkIf cfg.database.createLocally {
      enable = true;
      ensureDatabases = [ "cvatd" ];
      ensureUsers = [
        {
          name = "cvatd";
          ensureDBOwnership = true;
        }
      ];
      # Root runs `cvatd token create` and the daemon; neither has a role of its own.
      authentication = lib.mkBefore "local cvatd cvatd peer map=cvatd";
      identMap = ''
        cvatd root cvatd
        cvatd cvatd cvatd
      '';
    };

    services.redis.servers.cvatd = lib.mkIf cfg.redis.createLocally {
      enable = true;
      port = 0; # its Unix socket alone, for its group
    };

    hardware.nvidia-container-toolkit.enable = lib.mkIf gpu (lib.mkDefault true);

    systemd.slices.cvatd = {
      description = "cvatd";
      sliceConfig = {
        CPUAccounting = true;
        MemoryAccounting = true;
        TasksAccounting = true;
      };
    };
    systemd.slices.cvatd-training = {
      description = "Trainings";
      sliceConfig = {
        CPUAccounting = true;
        MemoryAccounting = true;
        TasksAccounting = true;
      }
      // lib.filterAttrs (_: value: value != null) {
        CPUQuota = cfg.training.cpuQuota;
        MemoryHigh = cfg.training.memoryHigh;
        MemoryMax = cfg.training.memoryMax;
      };
    };

    systemd.services.cvatd-migrate = lib.mkMerge [
      unit
      {
        description = "cvatd: the database's schema";
        serviceConfig = ordinary // {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "${cvatd} migrate";
          Slice = "cvatd.slice";
          TimeoutStartSec = "600s";
        };
      }
    ];

    systemd.services.cvatd-web = lib.mkMerge [
      unit
      afterMigrate
      {
        description = "cvatd: pages and programming interface";
        wantedBy = [ "multi-user.target" ];
        serviceConfig = ordinary // {
          Type = "exec";
          ExecStart = "${cvatd} web";
          Slice = "cvatd.slice";
          Restart = "always";
          RestartSec = "2s";
          TimeoutStopSec = "30s";
          # Asks the trainer's Python what it can do, which loads torch: torch compiles into memory.
          MemoryDenyWriteExecute = false;
        };
      }
    ];

    systemd.services."cvatd-trainer@" = lib.mkMerge [
      unit
      afterMigrate
      {
        description = "cvatd: trainer %i";
        wants = lib.optional gpu cdi;
        after = lib.optional gpu cdi;
        serviceConfig =
          ordinary
          // {
            Type = "exec";
            ExecStart = "${cvatd} worker";
            Slice = "cvatd-training.slice";
            Restart = "always";
            RestartSec = "2s";
            # The worker asks its trainer for a last checkpoint; what is left then is killed.
            KillMode = "mixed";
            TimeoutStopSec = "60s";
            # torch compiles into memory, and loads its data by shared memory of the same user's processes.
            MemoryDenyWriteExecute = false;
            # torch asks for the host's processors and memory.
            ProcSubset = "all";
            # torch sets priorities and affinities of its threads.
            SystemCallFilter = [
              "@system-service"
              "~@privileged"
            ];
          }
          // lib.optionalAttrs gpu {
            # The driver's devices, whose numbers are the kernel's to give.
            PrivateDevices = false;
            DevicePolicy = "closed";
            DeviceAllow = [
              "char-nvidia rw"
              "char-nvidia-uvm rw"
              "char-nvidia-frontend rw"
            ];
          };
      }
    ];

    systemd.targets.cvatd-trainers = {
      description = "Trainers";
      wantedBy = [ "multi-user.target" ];
      wants = map (number: "cvatd-trainer@${toString number}.service") (lib.range 1 cfg.training.workers);
    };

    services.ts-proxy = lib.mkIf cfg.tsProxy.enable {
      hosts.cvatd = {
        address = "127.0.0.1:${toString cfg.port}";
        enableTLS = lib.mkDefault true;
        proxies = [ "cvatd-web.service" ];
      };
    };

    environment.systemPackages = [ cfg.package ];
  };
}
