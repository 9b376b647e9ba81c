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
  cfg = config.services.cvatd;
  domain = config.services.ts-proxy.network-domain;
in
{
  options.services.cvatd = {
    enable = mkEnableOption "cvatd's training service: the pages and the programming interface, and the trainers";

    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ../../packages/cvatd.nix { };
      defaultText = literalMD "`cvatd` of this flake";
      example = literalExpression "pkgs.cvatd";
      description = "The package.";
    };

    port = mkOption {
      type = types.port;
      default = config.networking.ports.cvatd.port;
      defaultText = literalExpression "config.networking.ports.cvatd.port";
      example = 5000;
      description = "The port of the pages and the programming interface.";
    };

    address = mkOption {
      type = types.str;
      default = "127.0.0.1";
      example = "0.0.0.0";
      description = "The address to listen on.";
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the firewall lets {option}`port` through. {option}`address` must be one of the network's then.";
    };

    publicUrl = mkOption {
      type = types.nullOr (types.strMatching "https?://[^ ]*[^/ ]/?");
      default = if cfg.tsProxy.enable && domain != null then "https://cvatd.${domain}" else null;
      defaultText = literalMD "`https://cvatd.<tailnet>` with {option}`services.cvatd.tsProxy.enable`, else `null`";
      example = "https://train.example.com";
      description = "How callers reach the service; it stands in the links that callbacks carry.";
    };

    tsProxy.enable = mkOption {
      type = types.bool;
      default = config.services.ts-proxy.enable or true;
      defaultText = literalMD ''
        {option}`services.ts-proxy.enable`; `true` where a module of the host's own declares `services.ts-proxy`
      '';
      example = true;
      description = "Whether the pages are to be had on the tailnet as `https://cvatd.<network-domain>`.";
    };

    dataDir = mkOption {
      type = types.str;
      default = "/var/lib/cvatd";
      example = "/mnt/storage/cvatd";
      description = "Where runs, data sets and weights are kept.";
    };

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

    checks = mkOption {
      type = types.listOf types.raw;
      internal = true;
      default = [ ];
      description = "What must hold, each with the message for when it does not.";
    };
  };
}
