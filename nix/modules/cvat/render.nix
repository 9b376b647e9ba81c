# From settings (as cvatd/core/settings.py has them below `stack`) to containers with nothing left to fill in: what
# cvatd/stack/render.py does in Python, from the same stack.json. Pure; a test compares the two, container by container.
#
# What is wrong with the settings is said by checks.nix, so nothing is checked here.
{ lib }:
let
  releases = import ./releases.nix { inherit lib; };
  file = lib.importJSON ../../../cvatd/stack/stack.json;

  mb = 1024 * 1024;
  databaseContainer = "cvat-db";

  # What a container of stack.json has where it says nothing: cvatd/stack/spec.py.
  declaredDefaults = {
    image = "server";
    backend = false;
    command = [ ];
    environment = { };
    secrets = [ ];
    mounts = [ ];
    aliases = [ ];
    publish = [ ];
    needs = [ ];
    health = null;
    initialised = false;
    init = false;
    stop_s = 10;
    stop_signal = null;
  };
  healthDefaults = {
    "in" = null;
    interval_s = 10;
    timeout_s = 5;
    retries = 3;
    start_s = 60;
  };

  # `text` with each @name@ replaced.
  fill =
    parameters: text:
    let
      texts = lib.filterAttrs (_: value: !builtins.isList value) parameters;
    in
    builtins.replaceStrings (map (name: "@${name}@") (builtins.attrNames texts)) (builtins.attrValues texts) text;

  # As `fill`; an item that is nothing but a parameter with several values becomes so many items.
  fillList =
    parameters:
    lib.concatMap (
      item:
      let
        whole = builtins.match "@([a-z_]+)@" item;
        several = if whole == null then null else parameters.${builtins.head whole} or null;
      in
      if builtins.isList several then several else [ (fill parameters item) ]
    );

  # The full name of an image: Podman would ask a person which registry a short name means.
  qualify =
    image:
    let
      parts = lib.splitString "/" image;
      host = builtins.head parts;
      isHost = lib.hasInfix "." host || lib.hasInfix ":" host || host == "localhost";
    in
    if builtins.length parts == 1 then
      "docker.io/library/${image}"
    else if isHost then
      image
    else
      "docker.io/${image}";

  inUrl = address: if lib.hasInfix ":" address then "[${address}]" else address;

  # Waves of those whose needs came before.
  inOrder =
    containers:
    let
      names = map (container: container.name) containers;
      isFree = waiting: container: !builtins.any (need: builtins.elem need waiting) container.needs;
      next =
        waiting:
        let
          left = map (container: container.name) waiting;
          split = builtins.partition (isFree left) waiting;
        in
        if waiting == [ ] then
          [ ]
        else if split.right == [ ] then
          throw "services.cvat.extraContainers: these need each other in a circle: ${lib.concatStringsSep ", " left}."
        else
          split.right ++ next split.wrong;
      known = container: container // { needs = builtins.filter (need: builtins.elem need names) container.needs; };
    in
    next (map known containers);
in
rec {
  inherit file fill releases;

  # The release that is asked for: by name, by the server image's tag, or the newest known.
  chooseVersion =
    settings:
    let
      image = settings.images.server or null;
      tagged = if image == null then null else releases.versionOfImage image;
    in
    if settings.version or null != null then
      settings.version
    else if tagged != null then
      tagged
    else
      releases.newest;

  # The standard workers of a release: name -> queues.
  standardWorkers =
    release:
    lib.filterAttrs (_: queues: queues != [ ]) (
      builtins.mapAttrs (_: builtins.filter (queue: builtins.elem queue release.queues)) file.workers
    );

  # What the stack occupies when nobody uses it, in bytes.
  idleBytes =
    release: processes: serverProcesses:
    let
      idle = release.idle_mb;
    in
    mb * (idle.server * serverProcesses + idle.worker * processes + idle.scheduler + idle.rest);

  render =
    settings:
    let
      release = releases.find (chooseVersion settings);
      database = settings.database or null;
      external = database != null;
      images = builtins.mapAttrs (_: qualify) (release.images // settings.images);

      parameters = {
        base_url = lib.removeSuffix "/" (
          if settings.public_url or null != null then
            settings.public_url
          else
            "http://${inUrl settings.host}:${toString settings.port}"
        );
        database_host = if external then database.host else databaseContainer;
        database_name = if external then database.name else "cvat";
        database_port = if external then toString database.port else "5432";
        database_user = if external then database.user else "root";
        host = settings.host;
        opa_flags = release.opa_flags;
        port = toString settings.port;
        server_processes = toString settings.server_processes;
        share = if settings.share or null == null then "" else settings.share;
        ui_port = toString release.ui_port;
      };

      mount =
        given:
        let
          source = fill parameters given.source;
        in
        {
          source = if source == "" || lib.hasPrefix "/" source then source else "${settings.data_dir}/${source}";
          inherit (given) target;
          read_only = given.read_only or false;
        };

      fillContainer =
        name: given:
        let
          declared = declaredDefaults // given;
          base = if declared.backend then declaredDefaults // file.backend else declaredDefaults // { inherit (declared) image; };
          health = healthDefaults // declared.health;
        in
        {
          inherit name;
          image = images.${base.image};
          command = fillList parameters declared.command;
          environment =
            builtins.mapAttrs (_: fill parameters) (base.environment // declared.environment)
            // lib.optionalAttrs declared.backend settings.environment;
          secrets = base.secrets ++ declared.secrets;
          mounts = builtins.filter (given: given.source != "") (map mount (base.mounts ++ declared.mounts));
          inherit (declared)
            aliases
            initialised
            init
            stop_s
            stop_signal
            ;
          publish = map (publish: {
            host = fill parameters publish.host;
            host_port = lib.toIntBase10 (fill parameters (toString publish.host_port));
            inherit (publish) port;
          }) declared.publish;
          needs = declared.needs;
          health =
            if declared.health == null then
              null
            else
              builtins.removeAttrs health [ "in" ]
              // {
                exec = fillList parameters health.exec;
                inside = health."in";
              };
          memory_max = null;
          queues = [ ];
          processes = 1;
        };

      # Each worker's container serves all of its queues.
      shared = lib.mapAttrsToList (name: worker: {
        name = "cvat-worker-${name}";
        command = [
          "run"
          "worker"
        ]
        ++ worker.queues;
        inherit worker;
      }) settings.workers;

      # For old releases: a container for each configuration that the image has.
      oneEach =
        let
          serve =
            served: pair:
            let
              config = release.names.${pair.queue} or "worker.${pair.queue}";
              first = served.${config} or null;
            in
            served
            // {
              ${config} = pair.worker // {
                queues = (if first == null then [ ] else first.queues) ++ [ pair.queue ];
                processes = lib.max pair.worker.processes (if first == null then 1 else first.processes);
              };
            };
          pairs = lib.concatLists (
            lib.mapAttrsToList (_: worker: map (queue: { inherit queue worker; }) worker.queues) settings.workers
          );
        in
        lib.mapAttrsToList (config: worker: {
          name = "cvat-worker-${builtins.replaceStrings [ "_" ] [ "-" ] (lib.removePrefix "worker." config)}";
          command = [
            "run"
            config
          ];
          inherit worker;
        }) (builtins.foldl' serve { } pairs);

      workerContainer =
        { name, command, worker }:
        let
          filled = fillContainer name file.worker;
        in
        filled
        // {
          inherit command;
          environment = filled.environment // {
            NUMPROCS = toString worker.processes;
          };
          inherit (worker) queues processes;
          memory_max = worker.memory_max or null;
        };

      extra = name: given: {
        inherit name;
        image = qualify given.image;
        inherit (given)
          command
          environment
          aliases
          needs
          ;
        secrets = [ ];
        mounts = map (
          text:
          let
            parts = lib.splitString ":" text;
          in
          {
            source = builtins.elemAt parts 0;
            target = builtins.elemAt parts 1;
            read_only = lib.drop 2 parts == [ "ro" ];
          }
        ) given.mounts;
        publish = [ ];
        health = null;
        initialised = false;
        init = false;
        stop_s = 10;
        stop_signal = null;
        memory_max = given.memory_max or null;
        queues = [ ];
        processes = 1;
      };

      limited = container: container // { inherit (file) dns_options; memory_max = settings.memory_max.${container.name} or container.memory_max; };

      workers = map workerContainer (if release.grammar == "one" then oneEach else shared);
      standing = lib.mapAttrsToList fillContainer (
        lib.filterAttrs (name: _: !(external && name == databaseContainer)) file.containers
      );
    in
    {
      inherit (release) version;
      inherit release;
      network = file.network;
      containers = inOrder (
        map limited (standing ++ workers ++ lib.mapAttrsToList extra settings.extra_containers)
      );
      idle = idleBytes release (lib.foldl' (sum: worker: sum + worker.processes) 0 workers) settings.server_processes;
    };
}
