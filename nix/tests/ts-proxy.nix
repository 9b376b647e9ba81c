# What tests/nix/test_ts_proxy.py asks: names on the tailnet, by our module and by one of the host's own.
let
  lib = import <nixpkgs/lib>;
  host = import ./host.nix { };
  inherit (lib) mkOption types;

  # A module as the seed's author has one, with a backend of its own and without `enable`.
  own =
    { config, ... }:
    {
      options.services.ts-proxy = {
        network-domain = mkOption { default = "own.ts.net"; };
        hosts = mkOption {
          default = { };
          type = types.attrsOf (
            types.submodule {
              options = {
                address = mkOption { type = types.str; };
                enableTLS = lib.mkEnableOption "TLS";
                proxies = mkOption {
                  type = types.listOf types.str;
                  default = [ ];
                };
              };
            }
          );
        };
      };
      config.systemd.services = lib.mapAttrs' (
        name: entry: lib.nameValuePair "own-proxy-${name}" { script = "exec proxy ${entry.address}"; }
      ) config.services.ts-proxy.hosts;
    };

  program = name: { pkgs, ... }: { services.ts-proxy.package = pkgs.writeShellScriptBin name "exit 0"; };
  ours = declared: {
    imports = [ (program "tailscaled") ];
    services.ts-proxy = {
      enable = true;
      network-domain = "stargazer-shark.ts.net";
    }
    // declared;
  };

  ask =
    configuration:
    let
      inherit (host { inherit configuration; }) config;
      isProxy = name: builtins.match "((ts|own)-proxy-|front).*" name != null;
      failed = map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
      units = lib.filterAttrs (name: _: isProxy name) config.systemd.services;
    in
    {
      hosts = config.services.ts-proxy.hosts;
      publicUrl = if config.services.cvat.enable then config.services.cvat.publicUrl else null;
      units = lib.mapAttrs (_: unit: {
        inherit (unit) wantedBy partOf postStart;
        execStart = unit.serviceConfig.ExecStart or null;
        environmentFile = unit.serviceConfig.EnvironmentFile or null;
        user = unit.serviceConfig.DynamicUser or false;
      }) units;
      refused = builtins.filter (message: builtins.match ".*ts-proxy.*" message != null) failed;
    };
in
builtins.mapAttrs (_: ask) {
  off.services.cvat.enable = true;
  ours = lib.recursiveUpdate (ours { }) { services.cvat.enable = true; };
  withoutCvat = lib.recursiveUpdate (ours { }) {
    services.cvat = {
      enable = true;
      tsProxy.enable = false;
    };
  };
  kinds = ours {
    hosts = {
      plain.address = "127.0.0.1:1";
      secure = {
        address = "127.0.0.1:2";
        enableTLS = true;
        listen = 8443;
        name = "other";
      };
      public = {
        address = "127.0.0.1:3";
        enableTLS = true;
        enableFunnel = true;
      };
      raw = {
        address = "127.0.0.1:4";
        enableRaw = true;
        listen = 25565;
      };
      socket = {
        address = "/run/web.sock";
        network = "unix";
        enableTLS = true;
        unitName = "front";
      };
    };
  };
  noDomain = ours { network-domain = null; };
  funnelWithoutTls = ours {
    hosts.x = {
      address = "127.0.0.1:1";
      enableFunnel = true;
    };
  };
  elsewhere = {
    imports = [ own ];
    services.cvat.enable = true;
  };
}
