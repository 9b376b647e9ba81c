# The options of services.cvat.
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
  inherit (import ../../lib/types.nix { inherit lib; })
    memory
    percent
    secretFile
    ;
  inherit (import ./render.nix { inherit lib; }) file releases;

  cfg = config.services.cvat;
  common = import ../../lib/service-options.nix { inherit config lib pkgs; } "cvat";

  imageName = types.strMatching "[a-z0-9][a-zA-Z0-9_.:/@-]*" // {
    description = "name of an image";
  };
  image = mkOption {
    type = types.nullOr imageName;
    default = null;
    defaultText = literalMD "that of the release";
    example = "registry.example.com/mirror:2026";
    description = "Another image than the release's own.";
  };

  processes = mkOption {
    type = types.ints.between 1 64;
    default = 1;
    example = 2;
    description = "Processes side by side. Each occupies about 300 MB when nobody uses it.";
  };

  worker = {
    options = {
      queues = mkOption {
        type = types.nonEmptyListOf types.str;
        example = [
          "import"
          "export"
        ];
        description = "The queues that it serves. Each queue of the release is served by exactly one worker.";
      };
      inherit processes;
      resources.memoryMax = mkOption {
        type = types.nullOr memory;
        default = null;
        example = "1G";
        description = "Above this the kernel kills; only the limit of the whole stack holds where it is null.";
      };
    };
  };

  extraContainer = {
    options = {
      image = mkOption {
        type = imageName;
        example = "docker.io/library/memcached:1.6";
        description = "The image.";
      };
      command = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "--verbose" ];
        description = "Arguments for the image's entry point.";
      };
      environment = mkOption {
        type = types.attrsOf types.str;
        default = { };
        example = {
          LEVEL = "debug";
        };
        description = "Environment. It can be read by all who may ask Podman; secrets belong in files.";
      };
      aliases = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "cache" ];
        description = "Names in CVAT's network beside the container's own.";
      };
      mounts = mkOption {
        type = types.listOf (types.strMatching "/[^:]*:/[^:]*(:ro)?");
        default = [ ];
        example = [ "/srv/models:/models:ro" ];
        description = "Folders of the host: `/host:/container` or `/host:/container:ro`.";
      };
      needs = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "cvat-server" ];
        description = "Containers that are started before it.";
      };
      memoryMax = mkOption {
        type = types.nullOr memory;
        default = null;
        example = "512M";
        description = "Above this the kernel kills.";
      };
    };
  };
in
{
  imports = [
    (lib.mkAliasOptionModule [ "services" "cvat" "serverImage" ] [ "services" "cvat" "images" "server" ])
    (lib.mkAliasOptionModule [ "services" "cvat" "uiImage" ] [ "services" "cvat" "images" "ui" ])
  ];

  options.services.cvat = {
    enable = mkEnableOption "CVAT, a tool for annotating images and video, in containers that systemd manages";

    package = common.package "The `cvatd` that makes CVAT's folders and secrets, initialises it and watches it.";

    version = mkOption {
      type = types.nullOr (types.strMatching "v?[0-9]+\\.[0-9]+\\.[0-9]+");
      default = null;
      defaultText = literalMD "that of the tag of {option}`services.cvat.serverImage`, else ${releases.newest}";
      example = "2.52.0";
      description = "CVAT's release. Images, their commands and the workers follow from it.";
    };

    images = lib.genAttrs [
      "server"
      "ui"
      "postgres"
      "redis"
      "kvrocks"
      "opa"
      "nginx"
    ] (_: image);

    dataDir = common.dataDir "Where everything is kept: data, logs, keys, databases, secrets. Only root may enter it.";

    address = mkOption {
      # Podman takes no names.
      type = types.strMatching "[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*" // {
        description = "IP address of this host";
      };
      default = if cfg.openFirewall then "0.0.0.0" else "127.0.0.1";
      defaultText = literalExpression ''if config.services.cvat.openFirewall then "0.0.0.0" else "127.0.0.1"'';
      example = "192.168.1.10";
      description = "The address to listen on. Ports that Podman publishes pass by the firewall of NixOS.";
    };

    port = common.port {
      example = 8080;
      description = "The port of CVAT's pages and programming interface.";
    };

    hostName = mkOption {
      type = types.nullOr types.str;
      default = common.tailnetName;
      defaultText = literalMD "`cvat.<tailnet>` with {option}`services.cvat.tsProxy.enable`, else `null`";
      example = "cvat.example.com";
      description = "The name that people reach CVAT by.";
    };

    publicUrl = common.publicUrl {
      default = if cfg.hostName == null then null else "https://${cfg.hostName}";
      defaultText = literalMD "`https://` and {option}`services.cvat.hostName`";
      example = "https://annotate.example.com";
      description = "The address that stands in CVAT's own links.";
    };

    autoStart = common.flag "Whether CVAT starts with the host. `systemctl start cvat.service` starts it at any time.";

    autoInit = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = ''
        Whether each start first brings the database up to date and makes the superuser where that is to be done.
        Otherwise `systemctl start cvat-init.service` does, before `systemctl start cvat.service`.
      '';
    };

    superuser = {
      username = mkOption {
        type = types.strMatching "[A-Za-z0-9_.@+-]{1,150}";
        default = "admin";
        example = "root";
        description = "CVAT's first administrator.";
      };
      email = mkOption {
        type = types.strMatching "[^@ ]+@[^@ ]+";
        default = "admin@localhost";
        example = "operator@example.com";
        description = "The administrator's address.";
      };
      passwordFile = mkOption {
        type = types.nullOr secretFile;
        default = null;
        example = "/run/secrets/cvat-superuser";
        description = "Holds the password that the superuser is made with. A random one is made when it is null; `cvatd password` shows it.";
      };
      initialPassword = mkOption {
        type = types.nullOr (types.strMatching "[^[:space:]]([^\n]*[^[:space:]])?");
        default = null;
        example = "changeme";
        description = "As {option}`passwordFile`, in words that everybody on the host may read: change it after the first sign-in.";
      };
    };

    server = {
      inherit processes;
    };

    resources = {
      cpuQuota = mkOption {
        type = percent;
        default = "100%";
        example = "400%";
        description = "Processor time of all containers together; `100%` is one processor.";
      };
      memoryHigh = mkOption {
        type = memory;
        default = "1800M";
        example = "7G";
        description = "Above this the kernel slows all containers down.";
      };
      memoryMax = mkOption {
        type = memory;
        default = "2048M";
        example = "8G";
        description = "Above this the kernel kills. Holds for all containers together.";
      };
      containers = mkOption {
        type = types.attrsOf memory;
        default = { };
        example = {
          cvat-server = "1G";
        };
        description = "Limits of single containers, by their names.";
      };
    };

    workers = mkOption {
      type = types.attrsOf (types.submodule worker);
      defaultText = literalMD ''
        ${lib.concatStringsSep ", " (
          lib.mapAttrsToList (name: queues: "`${name}` (${lib.concatStringsSep ", " queues})") file.workers
        )}, as far as the release has these queues'';
      example = literalExpression ''
        {
          default.queues = [ "import" "annotation" "webhooks" "notifications" ];
          exports = { queues = [ "export" ]; processes = 2; };
        }
      '';
      description = ''
        Containers of CVAT's background workers. What is declared here is added to the three of the standard stack and
        overrides their queues; `lib.mkForce` replaces all of them.
      '';
    };

    database = {
      createLocally = mkOption {
        type = types.bool;
        default = true;
        example = false;
        description = "Whether CVAT's PostgreSQL is one of the containers.";
      };
      host = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "db.example.com";
        description = "A PostgreSQL outside, as the containers and this host reach it.";
      };
      port = mkOption {
        type = types.port;
        default = 5432;
        example = 5433;
        description = "Its port.";
      };
      name = mkOption {
        type = types.str;
        default = "cvat";
        example = "annotation";
        description = "Its database.";
      };
      user = mkOption {
        type = types.str;
        default = "cvat";
        example = "annotation";
        description = "Its user, who owns the database.";
      };
      passwordFile = mkOption {
        type = types.nullOr secretFile;
        default = null;
        example = "/run/secrets/cvat-database";
        description = "Holds the user's password; readable by root alone.";
      };
    };

    share = mkOption {
      type = types.nullOr (types.strMatching "/[^:,]+");
      default = null;
      example = "/srv/images";
      description = "A folder that CVAT offers as its connected share. It is never written to.";
    };

    settings = mkOption {
      type = types.attrsOf (
        types.oneOf [
          types.bool
          types.int
          types.str
        ]
      );
      apply = builtins.mapAttrs (
        _: value: if builtins.isBool value then lib.boolToString value else toString value
      );
      default = { };
      example = {
        CVAT_ALLOW_STATIC_CACHE = "yes";
      };
      description = ''
        Environment of the server and the workers, beside and above what the stack sets itself. Everybody on the host
        may read it.
      '';
    };

    openFirewall = common.flag "Whether CVAT may be reached from other hosts by its port, without TLS.";

    tsProxy.enable = common.tsProxy "CVAT is";

    extraContainers = mkOption {
      type = types.attrsOf (types.submodule extraContainer);
      default = { };
      example = literalExpression ''
        { cache.image = "docker.io/library/memcached:1.6"; }
      '';
      description = "Containers of your own in CVAT's network and within its limits.";
    };

    pullTimeout = mkOption {
      type = types.ints.positive;
      default = 1800;
      example = 7200;
      description = "Seconds that the pull of an image may last.";
    };

    readyTimeout = mkOption {
      type = types.ints.positive;
      default = 600;
      example = 1200;
      description = "Seconds that CVAT may need, once its containers run, until it is ready.";
    };

    waitUntilReady = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = ''
        Whether `systemctl start cvat.service` ends when CVAT is ready, and fails where it is not within
        {option}`readyTimeout`. Otherwise it ends when the containers run.
      '';
    };

    stack = mkOption {
      type = types.raw;
      internal = true;
      readOnly = true;
      description = "What settings.json has below `stack`.";
    };

    rendered = mkOption {
      type = types.raw;
      internal = true;
      readOnly = true;
      description = "The containers with nothing left to fill in.";
    };

    inherit (common) checks;
  };
}
