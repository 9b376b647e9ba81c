# The options that services.cvat and services.cvatd have in common, each with words of its own.
{
  config,
  lib,
  pkgs,
}:
# "cvat" or "cvatd": of the service, its port, its folder and its name on the tailnet.
name:
let
  inherit (lib) literalExpression literalMD mkOption types;

  flag =
    description:
    mkOption {
      type = types.bool;
      default = false;
      example = true;
      inherit description;
    };

  proxy = config.services.ts-proxy;
  tsProxy = config.services.${name}.tsProxy.enable;
in
{
  inherit flag;

  # The name on the tailnet; null where it has none.
  tailnetName =
    if tsProxy && proxy.network-domain != null then "${name}.${proxy.network-domain}" else null;

  package =
    description:
    mkOption {
      type = types.package;
      default = pkgs.callPackage ../packages/cvatd.nix { };
      defaultText = literalMD "`cvatd` of this flake";
      example = literalExpression "pkgs.cvatd";
      inherit description;
    };

  port =
    words:
    mkOption (
      {
        type = types.port;
        default = config.networking.ports.${name}.port;
        defaultText = literalExpression "config.networking.ports.${name}.port";
      }
      // words
    );

  dataDir =
    description:
    mkOption {
      type = types.str;
      default = "/var/lib/${name}";
      example = "/mnt/storage/${name}";
      inherit description;
    };

  publicUrl =
    words: mkOption ({ type = types.nullOr (types.strMatching "https?://[^ ]*[^/ ]/?"); } // words);

  tsProxy =
    what:
    mkOption {
      type = types.bool;
      default = proxy.enable or true;
      defaultText = literalMD ''
        {option}`services.ts-proxy.enable`; `true` where a module of the host's own declares `services.ts-proxy`
      '';
      example = true;
      description = "Whether ${what} to be had on the tailnet as `https://${name}.<network-domain>`.";
    };

  # Refused at evaluation by the service's checks.nix.
  checks = mkOption {
    type = types.listOf types.raw;
    internal = true;
    default = [ ];
    description = "What must hold, each with the message for when it does not.";
  };
}
