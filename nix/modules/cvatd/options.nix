# The options of services.cvatd.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    literalExpression
    literalMD
    mkEnableOption
    mkOption
    types
    ;
  inherit (import ../../lib/types.nix { inherit lib; }) memory percent secretFile;
  common = import ../../lib/service-options.nix { inherit config lib pkgs; } "cvatd";
in
{
  options.services.cvatd = {
    enable = mkEnableOption "cvatd's training service: the pages and the programming interface, and the trainers";

    package = common.package "The package.";

    port = common.port {
      example = 5000;
      description = "The port of the pages and the programming interface.";
    };

    address = mkOption {
      type = types.str;
      default = "127.0.0.1";
      example = "0.0.0.0";
      description = "The address to listen on.";
    };

    openFirewall = common.flag "Whether the firewall lets {option}`port` through. {option}`address` must be one of the network's then.";

    publicUrl = common.publicUrl {
      default = if common.tailnetName == null then null else "https://${common.tailnetName}";
      defaultText = literalMD "`https://cvatd.<tailnet>` with {option}`services.cvatd.tsProxy.enable`, else `null`";
      example = "https://train.example.com";
      description = "How callers reach the service; it stands in the links that callbacks carry.";
    };

    tsProxy.enable = common.tsProxy "the pages are";

    dataDir = common.dataDir "Where runs, data sets and weights are kept.";

    signingKeyFile = mkOption {
      type = types.nullOr secretFile;
      default = null;
      example = "/run/secrets/cvatd-signing-key";
      description = "Holds the key that callbacks are signed with, as `whsec_` and base64. One is made where it is null.";
    };

    database = {
      createLocally = mkOption {
        type = types.bool;
        default = true;
        example = false;
        description = "Whether PostgreSQL of this host holds what must not be lost, by its Unix socket and without a password.";
      };
      url = mkOption {
        type = types.str;
        default = "postgresql://cvatd@/cvatd?host=/run/postgresql";
        example = "postgresql://cvatd@db.example.com/cvatd?sslmode=verify-full";
        description = "The database, for libpq. A password stands in {option}`database.passwordFile`, never here.";
      };
      passwordFile = mkOption {
        type = types.nullOr secretFile;
        default = null;
        example = "/run/secrets/cvatd-pgpass";
        description = "A file in the form of libpq's `.pgpass`, for a database elsewhere.";
      };
    };

    redis = {
      createLocally = mkOption {
        type = types.bool;
        default = true;
        example = false;
        description = "Whether a Redis of this host rings for work, by its Unix socket.";
      };
      url = mkOption {
        type = types.str;
        default = "unix:///run/redis-cvatd/redis.sock";
        example = "redis://queue.example.com:6379/0";
        description = "The Redis. What it loses is rung again.";
      };
    };

    training = {
      python = mkOption {
        type = types.package;
        default = pkgs.callPackage ../../packages/trainer.nix { };
        defaultText = literalMD "Python with torch and Ultralytics";
        example = literalExpression "pkgs.python3.withPackages (ps: [ ps.torch-bin ps.ultralytics ])";
        description = "The Python that trains.";
      };
      workers = mkOption {
        type = types.ints.between 0 64;
        default = 1;
        example = 2;
        description = "Trainings side by side.";
      };
      gpus = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "all" ];
        description = "GPUs of this host for trainings, as the NVIDIA container toolkit names them: `all`, `0`, a UUID.";
      };
      cpuQuota = mkOption {
        type = types.nullOr percent;
        default = null;
        example = "800%";
        description = "Processor time of all trainings together; `100%` is one processor.";
      };
      memoryHigh = mkOption {
        type = types.nullOr memory;
        default = null;
        example = "28G";
        description = "Above this the kernel slows trainings down.";
      };
      memoryMax = mkOption {
        type = types.nullOr memory;
        default = null;
        example = "32G";
        description = "Above this the kernel kills. Trainings never take what CVAT's limits promise to CVAT.";
      };
    };

    settings = mkOption {
      type = (pkgs.formats.json { }).type;
      default = { };
      example = literalExpression ''
        { urls.allow = [ "100.64.0.0/10" ]; trainer.offline = false; }
      '';
      description = ''
        Everything that `settings.json` may say, above what the other options make of it; `cvatd config check` explains it.
        It lies in the Nix store, which everybody may read.
      '';
    };

    inherit (common) checks;
  };
}
