# What tests/nix/test_ports.py asks: networking.ports on several hosts.
let
  host = import ./host.nix { };
  ask =
    configuration:
    let
      inherit
        (host {
          modules = [ ../modules/ports.nix ];
          inherit configuration;
        })
        config
        ;
      failed = map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
    in
    {
      ports = builtins.mapAttrs (_: entry: entry.port) config.networking.ports;
      failed = builtins.filter (message: builtins.match ".*networking.ports.*" message != null) failed;
    };
in
builtins.mapAttrs (_: ask) {
  declared.networking.ports.cvat.enable = true;

  colliding.networking.ports = {
    one = {
      enable = true;
      key = "x";
    };
    two = {
      enable = true;
      key = "x";
    };
  };

  set.networking.ports = {
    one = {
      enable = true;
      port = 2000;
    };
    two = {
      enable = true;
      port = 2000;
    };
  };

  disabled.networking.ports = {
    one = {
      enable = true;
      key = "x";
    };
    two.key = "x";
  };

  # The host has a module of its own for the same options, as that of the rule's author is.
  elsewhere =
    { lib, ... }:
    {
      options.networking.ports = lib.mkOption {
        default = { };
        type = lib.types.attrsOf (
          lib.types.submodule {
            options.enable = lib.mkEnableOption "port";
            options.port = lib.mkOption {
              type = lib.types.port;
              default = 4711;
            };
          }
        );
      };
      config.networking.ports.cvat.enable = true;
    };
}
