# networking.ports.<name>: a port of its own for each service, the same on each host, from the MD5 of a key.
{
  config,
  lib,
  cvatdDeclaredElsewhere,
  ...
}:
let
  inherit (lib) mkEnableOption mkOption types;

  portOf = import ../lib/port-of.nix { inherit lib; };
  path = [
    "networking"
    "ports"
  ];
  elsewhere = cvatdDeclaredElsewhere path;

  port =
    { name, config, ... }:
    {
      options = {
        enable = mkEnableOption "a port for this service";
        key = mkOption {
          type = types.str;
          default = name;
          defaultText = lib.literalMD "the name";
          example = "cvat";
          description = "What the port is made from. Another key gives another port, where two services collide.";
        };
        port = mkOption {
          type = types.nullOr types.port;
          default = portOf config.key;
          defaultText = lib.literalMD ''
            the first four hex digits of the MD5 of {option}`key` that give a number above 1024 and below 49151,
            moving on by four digits
          '';
          example = 8093;
          description = "The port.";
        };
      };
    };

  taken = lib.filterAttrs (_: entry: entry.enable) config.networking.ports;
  byPort = lib.groupBy (name: toString taken.${name}.port) (
    builtins.filter (name: taken.${name}.port != null) (builtins.attrNames taken)
  );
  collisions = lib.filterAttrs (_: names: builtins.length names > 1) byPort;
  without = builtins.filter (name: taken.${name}.port == null) (builtins.attrNames taken);
  options = names: lib.concatMapStringsSep " and " (name: "networking.ports.${name}") names;
in
{
  key = "cvatd/ports";
  _file = ./ports.nix;
  imports = [ ./elsewhere.nix ];

  options.networking =
    if elsewhere then
      { }
    else
      {
        ports = mkOption {
          type = types.attrsOf (types.submodule port);
          default = { };
          example = lib.literalExpression "{ cvat.enable = true; }";
          description = ''
            Ports of services by name. Each is made from its key, so that it is the same on each host without a list
            that somebody keeps; {option}`networking.ports.<name>.port` says which it is.
          '';
        };
      };

  config.assertions = lib.optionals (!elsewhere) (
    lib.mapAttrsToList (number: names: {
      assertion = false;
      message = "${options names} have the same port, ${number}. Set `key` or `port` of one of them.";
    }) collisions
    ++ map (name: {
      assertion = false;
      message = "networking.ports.${name}: the MD5 of the key `${taken.${name}.key}` gives no port. Set `key` or `port`.";
    }) without
  );
}
