# What tests/nix/test_bad_input.py asks: declarations that are refused, with the messages.
let
  host = import ./host.nix { };
  lib = import <nixpkgs/lib>;
  force = lib.mkForce;
  cvat = declared: { services.cvat = declared // { enable = true; }; };
  queuesOfOldest = (builtins.head (lib.importJSON ../../cvatd/stack/releases.json).releases).queues;
  external = {
    createLocally = false;
    host = "db.example.com";
    passwordFile = "/run/secrets/database";
  };

  ask =
    configuration:
    let
      inherit (host { inherit configuration; }) config;
    in
    map (check: check.message) (
      builtins.filter (check: !check.assertion) (config.services.cvat.checks ++ config.services.cvatd.checks)
    );

  # Refused by the option's own type.
  isRefused =
    configuration:
    let
      inherit (host { inherit configuration; }) config;
    in
    !(builtins.tryEval (builtins.deepSeq config.services.cvat.stack true)).success;
in
{
  refused = builtins.mapAttrs (_: ask) {
    tooOld = cvat { version = "2.20.1"; };
    tooOldImage = cvat { serverImage = "cvat/server:v2.20.1"; };
    twoReleases = cvat {
      version = "2.52.0";
      serverImage = "cvat/server:v2.51.0";
    };
    unnamedRelease = cvat { serverImage = "cvat/server:dev"; };
    unknownQueue = cvat { workers.low.queues = [ "quality_reports" "consensus" "cleaning" "laundry" ]; };
    unservedQueue = cvat { workers.low.queues = [ "consensus" ]; };
    servedTwice = cvat { workers.more.queues = [ "export" ]; };
    servedTwiceByOne = cvat { workers.chunks.queues = [ "chunks" "chunks" ]; };
    noWorkers = cvat { workers = force { }; };
    workerName = cvat { version = "2.21.0"; workers = force { "Mine!".queues = queuesOfOldest; }; };
    twoOnOneName = cvat { extraContainers.cvat-worker-default.image = "busybox"; };
    twoOnOneOldName = cvat {
      version = "2.21.0";
      extraContainers.cvat-worker-import.image = "busybox";
    };
    initName = cvat { extraContainers.cvat-init.image = "busybox"; };
    unknownNeed = cvat { extraContainers.mine = { image = "busybox"; needs = [ "cvat-sever" ]; }; };
    unknownLimit = cvat { resources.containers.cvat-sever = "1G"; };
    highAboveMax = cvat { resources.memoryHigh = "3G"; };
    openSecret = cvat { settings.CVAT_POSTGRES_PASSWORD = "hunter2"; };
    processesInSettings = cvat { settings.NUMPROCS = 2; };
    twoPasswords = cvat { superuser = { passwordFile = "/run/secrets/a"; initialPassword = "b"; }; };
    portOfSsh = lib.recursiveUpdate (cvat { port = 22; }) { services.openssh.enable = true; };
    portOfOther = cvat { port = 4711; } // { networking.ports.wiki = { enable = true; port = 4711; }; };
    relativeDir = cvat { dataDir = "cvat"; };
    spaceInDir = cvat { dataDir = "/mnt/my data"; };
    specifierInDir = cvat { dataDir = "/mnt/100%/cvat"; };
    upInDir = cvat { dataDir = "/var/lib/../../etc"; };
    rootDir = cvat { dataDir = "/cvat"; };
    storeDir = cvat { dataDir = "/nix/store/x"; };
    noPassword = cvat { database = external // { passwordFile = null; }; };
    noHost = cvat { database = external // { host = null; }; };
    hostOfLocal = cvat { database.host = "db.example.com"; };
    docker = cvat { } // { virtualisation.oci-containers.backend = "docker"; };
    proxyOff = cvat { tsProxy.enable = true; };
    gpuWithoutDriver.services.cvatd = { enable = true; training.gpus = [ "all" ]; };
    portOfCvat = lib.recursiveUpdate (cvat { }) { services.cvatd = { enable = true; port = 8093; }; };
    exposedWithoutAuth.services.cvatd = { enable = true; settings.auth = false; };
  };

  types = builtins.mapAttrs (_: isRefused) {
    # A declaration that is good, so that the others are refused for what they say.
    good = cvat { superuser.passwordFile = "/run/secrets/superuser"; };
    secretInStore = cvat { superuser.passwordFile = "/nix/store/0000-secret"; };
    secretAsPath = cvat { superuser.passwordFile = ./host.nix; };
    databaseSecretInStore = cvat { database = external // { passwordFile = "/nix/store/0000-secret"; }; };
    memory = cvat { resources.memoryMax = "lots"; };
    processor = cvat { resources.cpuQuota = "2"; };
    version = cvat { version = "latest"; };
    image = cvat { serverImage = "cvat/server:$(reboot)"; };
    address = cvat { address = "localhost"; };
    share = cvat { share = "images"; };
    noQueues = cvat { workers.idle.queues = [ ]; };
    unknownOption = cvat { memoryMax = "2G"; };
  };
}
