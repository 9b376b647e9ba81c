# From the options of services.cvat to what settings.json has below `stack` (cvatd/core/settings.py).
{ lib, cfg }:
let
  inherit (import ../../lib/types.nix { inherit lib; }) toBytes toPercent;

  # Settings that are not given are left out: null has no place in the file.
  given = lib.filterAttrs (_: value: value != null);
  bytes = size: if size == null then null else toBytes size;
in
given {
  manager = "systemd";
  data_dir = cfg.dataDir;
  version = cfg.version;
  images = given cfg.images;
  host = cfg.address;
  port = cfg.port;
  public_url = cfg.publicUrl;
  superuser = given {
    inherit (cfg.superuser) username email;
    password_file = cfg.superuser.passwordFile;
    initial_password = cfg.superuser.initialPassword;
  };
  limits = {
    cpu_percent = toPercent cfg.resources.cpuQuota;
    memory_high = toBytes cfg.resources.memoryHigh;
    memory_max = toBytes cfg.resources.memoryMax;
  };
  slice = "cvat";
  server_processes = cfg.server.processes;
  workers = builtins.mapAttrs (
    _: worker:
    given {
      inherit (worker) queues processes;
      memory_max = bytes worker.resources.memoryMax;
    }
  ) cfg.workers;
  memory_max = builtins.mapAttrs (_: toBytes) cfg.resources.containers;
  environment = cfg.settings;
  share = cfg.share;
  database =
    if cfg.database.createLocally then
      null
    else
      {
        inherit (cfg.database)
          host
          port
          name
          user
          ;
        password_file = cfg.database.passwordFile;
      };
  extra_containers = builtins.mapAttrs (
    _: container:
    given {
      inherit (container)
        image
        command
        environment
        aliases
        mounts
        needs
        ;
      memory_max = bytes container.memoryMax;
    }
  ) cfg.extraContainers;
  pull_timeout_s = cfg.pullTimeout;
  ready_timeout_s = cfg.readyTimeout;
}
