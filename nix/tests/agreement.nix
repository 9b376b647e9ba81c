# What tests/nix/test_agreement.py asks: for each of many declarations the settings that cvatd gets, and the containers
# that NixOS starts.
let
  host = import ./host.nix { };
  force = (import <nixpkgs/lib>).mkForce;

  ask =
    cvat:
    let
      inherit (host { configuration.services.cvat = cvat // { enable = true; }; }) config;
    in
    {
      settings = config.services.cvat.stack;
      inherit (config.services.cvat.rendered) containers version idle;
      refused = map (check: check.message) (
        builtins.filter (check: !check.assertion) config.services.cvat.checks
      );
    };
in
builtins.mapAttrs (_: ask) {
  standard = { };
  oldest.version = "2.21.0";
  seed = {
    serverImage = "cvat/server:v2.21.0";
    uiImage = "cvat/ui:v2.21.0";
    dataDir = "/mnt/storage/cvat";
  };
  chunks.version = "2.23.0";
  consensus.version = "v2.31.4";
  grammar.version = "2.38.0";
  opa.version = "2.57.0";
  newer.version = "2.99.1";
  tagged.serverImage = "registry.example.com:5000/mirror/cvat:2.52.0";
  images = {
    version = "2.64.0";
    images = {
      server = "cvat-own:dev";
      postgres = "postgres:15";
      nginx = "localhost/nginx";
      redis = "ghcr.io/x/redis@sha256:0000000000000000000000000000000000000000000000000000000000000000";
    };
  };
  address = {
    address = "0.0.0.0";
    port = 8443;
    publicUrl = "https://annotate.example.com/";
  };
  ipv6 = {
    address = "fd00::1";
    version = "2.52.0";
    uiImage = "cvat/ui:v2.51.0";
  };
  hostName.hostName = "cvat.example.com";
  workers.workers = {
    default.queues = [
      "import"
      "annotation"
      "webhooks"
      "notifications"
    ];
    exports = {
      queues = [ "export" ];
      processes = 3;
      resources.memoryMax = "1G";
    };
  };
  oneWorker.workers = force {
    all = {
      queues = [
        "import"
        "export"
        "annotation"
        "webhooks"
        "notifications"
        "quality_reports"
        "consensus"
        "cleaning"
        "chunks"
      ];
      processes = 2;
    };
  };
  oldWorkers = {
    version = "2.21.0";
    workers = {
      default.queues = [
        "import"
        "annotation"
        "webhooks"
      ];
      others = {
        queues = [
          "export"
          "notifications"
        ];
        processes = 2;
      };
    };
  };
  limits = {
    resources = {
      cpuQuota = "400%";
      memoryHigh = "7G";
      memoryMax = "8G";
      containers.cvat-server = "1500M";
      containers.cvat-worker-low = "104857600";
    };
    server.processes = 4;
  };
  database.database = {
    createLocally = false;
    host = "db.example.com";
    port = 5433;
    name = "annotation";
    user = "annotator";
    passwordFile = "/run/secrets/database";
  };
  share.share = "/srv/images";
  environment.settings = {
    CVAT_ALLOW_STATIC_CACHE = true;
    RETRIES = 2;
    OWN = "a b\"c $d ${"$"}{e} @port@ 100%";
  };
  superuser.superuser = {
    username = "root";
    email = "root@example.com";
    passwordFile = "/run/secrets/superuser";
  };
  initial.superuser.initialPassword = "changeme";
  extra.extraContainers = {
    cache = {
      image = "memcached:1.6";
      command = [
        "-m"
        "64"
      ];
      environment.LEVEL = "debug";
      aliases = [ "memory" ];
      mounts = [
        "/srv/models:/models:ro"
        "/srv/scratch:/scratch"
      ];
      memoryMax = "512M";
    };
    after = {
      image = "docker.io/library/busybox";
      needs = [
        "cache"
        "cvat-server"
      ];
    };
  };
}
