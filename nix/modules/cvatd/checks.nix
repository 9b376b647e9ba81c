# What is refused at evaluation, with the option's name and the fix.
{ config, lib, ... }:
let
  inherit (import ../../lib/types.nix { inherit lib; }) toBytes;
  cfg = config.services.cvatd;
  opt = "services.cvatd";
  refuse = bad: message: {
    assertion = !bad;
    inherit message;
  };

  hasDriver =
    builtins.elem "nvidia" config.services.xserver.videoDrivers
    || config.hardware.nvidia.datacenter.enable or false
    || config.hardware.nvidia-container-toolkit.suppressNvidiaDriverAssertion or false;

  others = lib.mapAttrsToList (name: entry: {
    option = "networking.ports.${name}";
    inherit (entry) port;
  }) (lib.filterAttrs (name: entry: name != "cvatd" && (entry.enable or true)) config.networking.ports);
  taken = builtins.filter (other: other.port == cfg.port) others;

  inherit (cfg.training) memoryHigh memoryMax;
  usable = builtins.match "(/[A-Za-z0-9_.+@=-]+){2,}/?" cfg.dataDir != null && !lib.hasInfix "/.." cfg.dataDir;
in
{
  config = {
    services.cvatd.checks = lib.optionals cfg.enable [
      (refuse (cfg.training.gpus != [ ] && !hasDriver) ''
        ${opt}.training.gpus is set and no driver of NVIDIA's is declared. Set services.xserver.videoDrivers = [ "nvidia" ] or hardware.nvidia.datacenter.enable = true.'')
      (refuse (taken != [ ]) ''
        ${opt}.port: ${toString cfg.port} is that of ${
          lib.concatMapStringsSep ", " (other: other.option) taken
        } too. Set networking.ports.cvatd.key or ${opt}.port to another.'')
      (refuse (!(cfg.settings.auth or true)) ''
        ${opt}.settings.auth is off: whoever reaches the port could start trainings. Leave it on; `cvatd dev` is for trying without.'')
      (refuse (memoryHigh != null && memoryMax != null && toBytes memoryHigh > toBytes memoryMax) ''
        ${opt}.training.memoryHigh (${toString memoryHigh}) is above memoryMax (${toString memoryMax}): it would never be reached. Set it below.'')
      (refuse (!usable) ''
        ${opt}.dataDir (${cfg.dataDir}) cannot be used: it must be an absolute path below a folder of the root, of letters, digits and . _ + @ = - alone, such as /var/lib/cvatd.'')
      (refuse (!cfg.database.createLocally && lib.hasInfix "host=/run/postgresql" cfg.database.url) ''
        ${opt}.database.createLocally is off and ${opt}.database.url is that of this host. Set it to your PostgreSQL's.'')
      (refuse (!cfg.redis.createLocally && cfg.redis.url == "unix:///run/redis-cvatd/redis.sock") ''
        ${opt}.redis.createLocally is off and ${opt}.redis.url is that of this host. Set it to your Redis's.'')
      (refuse (builtins.match "[a-z]+://[^/@]*:[^/@]+@.*" cfg.database.url != null) ''
        ${opt}.database.url has a password, which would stand in the Nix store. Set ${opt}.database.passwordFile.'')
    ];
    assertions = cfg.checks;
  };
}
