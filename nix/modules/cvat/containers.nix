# The rendered containers as virtualisation.oci-containers, and what their units need beside that.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.cvat;
  inherit (cfg.rendered) containers network release;
  podman = lib.getExe config.virtualisation.podman.package;

  slice = "cvat.slice";
  networkUnit = "podman-network-${network}.service";
  unitOf = name: "podman-${name}.service";

  healthFlags = health: [
    "--health-cmd=${builtins.toJSON health.exec}"
    "--health-interval=${toString health.interval_s}s"
    "--health-timeout=${toString health.timeout_s}s"
    "--health-retries=${toString health.retries}"
    "--health-start-period=${toString health.start_s}s"
  ];

  container = given: {
    inherit (given) image environment;
    cmd = given.command;
    hostname = given.name;
    autoStart = false; # cvat.target asks for them
    labels."cvatd.stack" = network;
    ports = map (publish: "${publish.host}:${toString publish.host_port}:${toString publish.port}") given.publish;
    volumes =
      map (mount: "${mount.source}:${mount.target}${lib.optionalString mount.read_only ":ro"}") given.mounts
      ++ map (secret: "${cfg.dataDir}/secrets/${secret}:/run/secrets/${secret}:ro") given.secrets;
    extraOptions = [
      "--network=${network}"
      # Without this the limits of the slice hold nothing: Podman puts containers into machine.slice.
      "--cgroup-parent=${slice}"
      "--stop-timeout=${toString given.stop_s}"
    ]
    ++ map (alias: "--network-alias=${alias}") given.aliases
    ++ map (option: "--dns-option=${option}") given.dns_options
    ++ lib.optional given.init "--init"
    ++ lib.optional (given.stop_signal != null) "--stop-signal=${given.stop_signal}"
    ++ lib.optionals (given.memory_max != null) [
      # Without a limit of their own, memory and swap together may be twice the limit.
      "--memory=${toString given.memory_max}"
      "--memory-swap=${toString given.memory_max}"
    ]
    # A check from another container is the daemon's to ask; Podman asks inside alone.
    ++ lib.optionals (given.health != null && given.health.inside == null) (healthFlags given.health);
  };

  # One pull at a time: several units begin with the same image.
  pull =
    image:
    pkgs.writeShellScript "pull-image" ''
      exec ${lib.getExe' pkgs.util-linux "flock"} /run/cvat-pull.lock ${pkgs.runtimeShell} -c '
        ${podman} image exists "$1" || exec ${podman} pull --quiet "$1"
      ' pull-image ${lib.escapeShellArg image}
    '';

  unit = given: {
    description = "CVAT: ${given.name}";
    partOf = [
      "cvat.service"
      "cvat.target"
    ];
    wantedBy = [ "cvat.target" ];
    # Wanted, not required: a database that restarts must not take the server with it, which waits for it.
    wants = map unitOf given.needs ++ lib.optional (given.initialised && cfg.autoInit) "cvat-init.service";
    requires = [
      networkUnit
      "cvat-secrets.service"
    ];
    after =
      map unitOf given.needs
      ++ [
        networkUnit
        "cvat-secrets.service"
      ]
      ++ lib.optional (given.initialised && cfg.autoInit) "cvat-init.service";
    # nginx.conf follows from the release, and a container sees the file that was there at its start.
    restartTriggers = lib.optionals (given.name == "cvat-proxy") [
      (toString release.ui_port)
      (builtins.hashFile "sha256" ../../../cvatd/stack/nginx.conf)
    ];
    startLimitIntervalSec = 600;
    startLimitBurst = 10;
    serviceConfig = {
      ExecStartPre = lib.mkBefore [ (pull given.image) ];
      Slice = slice;
      RestartSec = "5s";
      # A pull may last as long as it is allowed to, and wait for two others; a start is short.
      TimeoutStartSec = lib.mkForce "${toString (cfg.pullTimeout * 3 + 120)}s";
      TimeoutStopSec = lib.mkForce "${toString (given.stop_s + 30)}s";
      # What a container answers when it is asked to end.
      SuccessExitStatus = "143 137";
    };
  };
in
{
  config = lib.mkIf cfg.enable {
    virtualisation.oci-containers.containers = builtins.listToAttrs (
      map (given: lib.nameValuePair given.name (container given)) containers
    );
    systemd.services = builtins.listToAttrs (
      map (given: lib.nameValuePair "podman-${given.name}" (unit given)) containers
    );
  };
}
