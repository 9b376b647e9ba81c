# What is refused at evaluation, with the option's name and the fix, and what is warned of.
{ config, lib, ... }:
let
  inherit (import ../../lib/types.nix { inherit lib; }) toBytes;
  inherit (import ./render.nix { inherit lib; })
    chooseVersion
    file
    releases
    ;

  cfg = config.services.cvat;
  words = lib.concatStringsSep ", ";
  opt = "services.cvat";

  version = chooseVersion { inherit (cfg) images version; };
  tagged = if cfg.images.server == null then null else releases.versionOfImage cfg.images.server;
  uiTagged = if cfg.images.ui == null then null else releases.versionOfImage cfg.images.ui;
  release = releases.find version;

  refuse = bad: message: {
    assertion = !bad;
    inherit message;
  };

  versions = [
    (refuse (!releases.known version) (releases.tooOld version))
    (refuse (cfg.version != null && tagged != null && lib.removePrefix "v" cfg.version != tagged) ''
      ${opt}.version is ${toString cfg.version} and the tag of ${opt}.serverImage is ${toString cfg.images.server}. Commands and image must be of one release: change one of the two.'')
    (refuse (cfg.version == null && cfg.images.server != null && tagged == null) ''
      ${opt}.serverImage: the tag of ${toString cfg.images.server} names no release. Set ${opt}.version to what it is.'')
  ];

  isName = name: builtins.match "[a-z0-9]+(-[a-z0-9]+)*" name != null;
  served = lib.concatLists (
    lib.mapAttrsToList (worker: { queues, ... }: map (queue: { inherit worker queue; }) queues) cfg.workers
  );
  byQueue = lib.groupBy (pair: pair.queue) served;
  unserved = builtins.filter (queue: !byQueue ? ${queue}) release.queues;
  strange = builtins.filter (pair: !builtins.elem pair.queue release.queues) served;
  twice = lib.filterAttrs (_: pairs: builtins.length pairs > 1) byQueue;

  workers =
    map (
      pair:
      refuse true ''
        ${opt}.workers.${pair.worker}.queues: CVAT ${version} has no queue "${pair.queue}". It has ${words release.queues}.''
    ) strange
    ++ lib.mapAttrsToList (
      queue: pairs:
      refuse true ''
        The queue "${queue}" is served by ${
          lib.concatMapStringsSep " and by " (pair: "${opt}.workers.${pair.worker}") pairs
        }. Take it out of `queues` of one of them; a standard worker's queues are set like any other's.''
    ) twice
    ++ [
      (refuse (unserved != [ ]) ''
        ${opt}.workers: no worker serves ${words unserved}; work put there would wait for ever. Add these to the `queues` of one.'')
    ]
    ++ map (
      name: refuse (!isName name) "${opt}.workers.${name}: a name has small letters, digits and single dashes between them."
    ) (builtins.attrNames cfg.workers);

  # Counted here once more, since a queue that the release has not would end `render`.
  standing = builtins.filter (name: cfg.database.createLocally || name != "cvat-db") (
    builtins.attrNames file.containers
  );
  workerNames =
    if release.grammar == "many" then
      map (name: "cvat-worker-${name}") (builtins.attrNames cfg.workers)
    else
      builtins.filter (lib.hasPrefix "cvat-worker-") (map (container: container.name) cfg.rendered.containers);
  own = standing ++ workerNames;
  extras = builtins.attrNames cfg.extraContainers;
  all = own ++ extras;
  collisions = builtins.filter (name: builtins.elem name own || name == "cvat-init") extras;
  unknownNeeds = lib.concatLists (
    lib.mapAttrsToList (
      name: container:
      map (need: { inherit name need; }) (builtins.filter (need: !builtins.elem need all) container.needs)
    ) cfg.extraContainers
  );
  unlimited = builtins.filter (name: !builtins.elem name all) (builtins.attrNames cfg.resources.containers);

  containers = [
    (refuse (collisions != [ ]) ''
      ${opt}.extraContainers: two containers would be called ${words collisions}. Give yours another name.'')
    (refuse (unlimited != [ ]) "${opt}.resources.containers: there is no container ${words unlimited}. There are ${words all}.")
  ]
  ++ map (
    pair:
    refuse true ''
      ${opt}.extraContainers.${pair.name}.needs: there is no container "${pair.need}". There are ${words all}.''
  ) unknownNeeds
  ++ map (
    name: refuse (!isName name) "${opt}.extraContainers.${name}: a name has small letters, digits and single dashes between them."
  ) extras;

  resources = [
    (refuse (toBytes cfg.resources.memoryHigh > toBytes cfg.resources.memoryMax) ''
      ${opt}.resources.memoryHigh (${cfg.resources.memoryHigh}) is above memoryMax (${cfg.resources.memoryMax}): it would never be reached. Set it below.'')
  ];

  # systemd takes % for a specifier and splits at spaces; Podman splits at : and ,.
  usable = builtins.match "(/[A-Za-z0-9_.+@=-]+){2,}/?" cfg.dataDir != null && !lib.hasInfix "/.." cfg.dataDir;
  inStore = lib.hasPrefix builtins.storeDir;
  folders = [
    (refuse (!usable || inStore cfg.dataDir) ''
      ${opt}.dataDir (${cfg.dataDir}) cannot be used: it must be an absolute path below a folder of the root, not in the Nix store, of letters, digits and . _ + @ = - alone, such as /var/lib/cvat.'')
    (refuse (cfg.share != null && inStore cfg.share) "${opt}.share: a folder in the Nix store never changes. Name one outside of it.")
  ];

  isSecret = name: value: value != "" && builtins.match ".*(PASSWORD|SECRET|TOKEN).*" name != null && !lib.hasSuffix "_FILE" name;
  openSecrets = builtins.attrNames (lib.filterAttrs isSecret cfg.settings);
  secrets = [
    (refuse (cfg.settings ? NUMPROCS) ''
      ${opt}.settings.NUMPROCS: set ${opt}.server.processes and ${opt}.workers.<name>.processes.'')
    (refuse (openSecrets != [ ]) ''
      ${opt}.settings: ${words openSecrets} would stand in the Nix store, which everybody may read. Leave it out: secrets are files below ${opt}.dataDir, or named by ${opt}.superuser.passwordFile and ${opt}.database.passwordFile.'')
    (refuse (cfg.superuser.passwordFile != null && cfg.superuser.initialPassword != null) ''
      ${opt}.superuser: passwordFile and initialPassword are both set. Keep passwordFile.'')
  ];

  database =
    let
      inherit (cfg.database) createLocally host passwordFile;
    in
    [
      (refuse (!createLocally && host == null) ''
        ${opt}.database.createLocally is off and ${opt}.database.host is not set. Name the host of your PostgreSQL as containers reach it.'')
      (refuse (!createLocally && passwordFile == null) ''
        ${opt}.database.createLocally is off and ${opt}.database.passwordFile is not set: ${
          lib.optionalString cfg.autoInit "autoInit could not sign in, and "
        }CVAT needs a password there. Name a file that holds it.'')
      (refuse (createLocally && (host != null || passwordFile != null)) ''
        ${opt}.database.${
          if host != null then "host" else "passwordFile"
        } is set and createLocally is on: the stack would run a PostgreSQL of its own. Set ${opt}.database.createLocally = false.'')
    ];

  ports = config.networking.ports;
  others =
    lib.mapAttrsToList (name: entry: {
      option = "networking.ports.${name}";
      inherit (entry) port;
    }) (lib.filterAttrs (name: entry: name != "cvat" && (entry.enable or true)) ports)
    ++ lib.optionals config.services.openssh.enable (
      map (port: {
        option = "services.openssh.ports";
        inherit port;
      }) config.services.openssh.ports
    );
  taken = builtins.filter (other: other.port == cfg.port) others;
  network = [
    (refuse (taken != [ ]) ''
      ${opt}.port: ${toString cfg.port} is that of ${words (map (other: other.option) taken)} too. Set networking.ports.cvat.key or ${opt}.port to another.'')
    (refuse (config.virtualisation.oci-containers.backend != "podman") ''
      virtualisation.oci-containers.backend is ${config.virtualisation.oci-containers.backend}; services.cvat needs "podman".'')
    (refuse (cfg.tsProxy.enable && !(config.services.ts-proxy.enable or true)) ''
      ${opt}.tsProxy.enable is on and services.ts-proxy.enable is off: nobody would serve https://${toString cfg.hostName}. Set services.ts-proxy.enable = true.'')
  ];

  mb = bytes: toString (bytes / 1024 / 1024);
  memoryMax = toBytes cfg.resources.memoryMax;
  inherit (cfg.rendered) idle;
in
{
  config = {
    services.cvat.checks = lib.optionals cfg.enable (
      versions
      ++ lib.optionals (releases.known version) (workers ++ containers)
      ++ resources
      ++ folders
      ++ secrets
      ++ database
      ++ network
    );

    assertions = cfg.checks;

    warnings = lib.optionals (cfg.enable && builtins.all (check: check.assertion) cfg.checks) (
      lib.optional (idle > memoryMax) ''
        ${opt}.resources.memoryMax is ${mb memoryMax} MB, and CVAT ${cfg.rendered.version} with its workers occupies about ${mb idle} MB when nobody uses it.''
      ++ lib.optional (!cfg.rendered.release.checked) ''
        The facts of CVAT ${cfg.rendered.version} are inferred, not read (${cfg.rendered.release.evidence}).''
      ++ lib.optional (uiTagged != null && uiTagged != cfg.rendered.version) ''
        ${opt}.uiImage is of ${toString uiTagged} and the server of ${cfg.rendered.version}: they are made for each other.''
      ++ lib.optional (cfg.superuser.initialPassword != null) ''
        ${opt}.superuser.initialPassword stands in the Nix store, which everybody may read: change the password after the first sign-in, or use passwordFile.''
    );
  };
}
