# services.ts-proxy: https://<name>.<network-domain> on the tailnet for what listens on this host.
#
# One userspace tailscaled for each name, with a state folder and a user of its own: each name is a machine of the
# tailnet, with rights and a certificate of its own.
{
  config,
  lib,
  pkgs,
  cvatdDeclaredElsewhere,
  ...
}:
let
  inherit (lib)
    literalExpression
    literalMD
    mkEnableOption
    mkOption
    mkPackageOption
    types
    ;
  inherit (import ../lib/types.nix { inherit lib; }) secretFile;

  elsewhere = cvatdDeclaredElsewhere [
    "services"
    "ts-proxy"
  ];
  cfg = config.services.ts-proxy;
  hardening = import ../lib/hardening.nix;

  host =
    { name, config, ... }:
    {
      options = {
        address = mkOption {
          type = types.str;
          example = "127.0.0.1:8093";
          description = "Where the service listens.";
        };
        network = mkOption {
          type = types.enum [
            ""
            "tcp"
            "unix"
          ];
          default = "";
          example = "unix";
          description = "What {option}`address` is: a host and port (`tcp`, or empty), or the path of a Unix socket.";
        };
        name = mkOption {
          type = types.strMatching "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
          default = name;
          defaultText = literalMD "the name of the entry";
          example = "annotation";
          description = "The name on the tailnet.";
        };
        enableTLS = mkEnableOption "TLS, with a certificate that Tailscale gets and renews";
        enableFunnel = mkEnableOption "access from the whole internet by Tailscale's Funnel";
        enableRaw = mkEnableOption "forwarding of the bytes as they are, without HTTP";
        listen = mkOption {
          type = types.port;
          default = 0;
          apply =
            port:
            if port != 0 then
              port
            else if config.enableTLS then
              443
            else
              80;
          defaultText = literalMD "443 with TLS, else 80";
          example = 8443;
          description = "The port on the tailnet; 0 is the usual one.";
        };
        proxies = mkOption {
          type = types.listOf types.str;
          default = [ ];
          example = [ "cvat.service" ];
          description = "Units that it stands in front of: it starts and stops with them. It starts with the host where there is none.";
        };
        unitName = mkOption {
          type = types.str;
          default = "ts-proxy-${name}";
          defaultText = literalMD "`ts-proxy-<name>`";
          example = "tailnet-cvat";
          description = "The name of its unit.";
        };
      };
    };

  target =
    host:
    if host.network == "unix" then
      "unix:${host.address}"
    else
      "${if host.enableRaw then "tcp" else "http"}://${host.address}";

  serveFlags =
    host:
    let
      kind =
        if host.enableRaw then
          (if host.enableTLS then "tls-terminated-tcp" else "tcp")
        else
          (if host.enableTLS then "https" else "http");
    in
    [
      (if host.enableFunnel then "funnel" else "serve")
      "--bg"
      "--yes"
      "--${kind}=${toString host.listen}"
      (target host)
    ];

  unit =
    host:
    let
      runtime = "/run/${host.unitName}";
      tailscale = "${lib.getExe' cfg.package "tailscale"} --socket=${runtime}/tailscaled.sock";
    in
    {
      description = "${host.name} on the tailnet";
      documentation = [ "https://tailscale.com/kb/1242/tailscale-serve" ];
      wantedBy = if host.proxies == [ ] then [ "multi-user.target" ] else host.proxies;
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      partOf = host.proxies;
      startLimitIntervalSec = 0; # a tailnet that is away for an hour comes back

      # tailscaled says that it is ready before it is signed in; what is served is set once it is.
      postStart = ''
        key=${runtime}/key
        trap 'rm -f "$key"' EXIT
        printf %s "''${TS_AUTHKEY:?is missing in services.ts-proxy.environmentFile}" > "$key"
        ${tailscale} up --hostname=${host.name} --auth-key=file:"$key" --timeout=60s
        ${tailscale} serve reset
        ${tailscale} ${lib.escapeShellArgs (serveFlags host)}
      '';

      serviceConfig = hardening.ordinary // {
        Type = "notify";
        ExecStart = lib.concatStringsSep " " [
          (lib.getExe' cfg.package "tailscaled")
          "--tun=userspace-networking"
          "--statedir=%S/${host.unitName}"
          "--socket=${runtime}/tailscaled.sock"
          "--port=0"
          "--no-logs-no-support"
        ];
        EnvironmentFile = cfg.environmentFile;
        DynamicUser = true;
        StateDirectory = host.unitName;
        StateDirectoryMode = "0700";
        RuntimeDirectory = host.unitName;
        RuntimeDirectoryMode = "0700";
        Slice = "ts-proxy.slice";
        Restart = "always";
        RestartSec = "10s";
        TimeoutStartSec = "120s";
        # It asks the kernel for routes and interfaces, and speaks to the tailnet.
        RestrictAddressFamilies = [
          "AF_INET"
          "AF_INET6"
          "AF_UNIX"
          "AF_NETLINK"
        ];
      };
    };

  hosts = builtins.attrValues cfg.hosts;
  funnelPorts = [
    443
    8443
    10000
  ];
in
{
  key = "cvatd/ts-proxy";
  _file = ./ts-proxy.nix;
  imports = [ ./elsewhere.nix ];

  options.services =
    if elsewhere then
      { }
    else
      {
        ts-proxy = {
          enable = mkEnableOption "names on the tailnet for services of this host";
          package = mkPackageOption pkgs "tailscale" { };
          network-domain = mkOption {
            type = types.nullOr (types.strMatching "[a-z0-9.-]+");
            default = null;
            example = "stargazer-shark.ts.net";
            description = "The tailnet's own domain, as its administration page shows it.";
          };
          environmentFile = mkOption {
            type = secretFile;
            default = "/run/secrets/ts-proxy";
            example = "/var/lib/secrets/ts-proxy.env";
            description = "Holds `TS_AUTHKEY=tskey-auth-...`, a reusable key that makes machines of the tailnet.";
          };
          hosts = mkOption {
            type = types.attrsOf (types.submodule host);
            default = { };
            example = literalExpression ''
              { wiki = { address = "127.0.0.1:8080"; enableTLS = true; }; }
            '';
            description = "Services by the name that they have on the tailnet.";
          };
        };
      };

  config = lib.mkIf (!elsewhere && cfg.enable) {
    assertions = [
      {
        assertion = cfg.network-domain != null;
        message = "services.ts-proxy.network-domain is not set. Set it to the domain of your tailnet, such as stargazer-shark.ts.net.";
      }
    ]
    ++ lib.concatMap (host: [
      {
        assertion = host.enableFunnel -> builtins.elem host.listen funnelPorts && host.enableTLS;
        message = "services.ts-proxy.hosts.${host.name}.enableFunnel: Funnel has TLS on the ports 443, 8443 and 10000 alone. Set enableTLS, and listen to one of them.";
      }
      {
        assertion = host.enableRaw -> host.network != "unix";
        message = "services.ts-proxy.hosts.${host.name}.enableRaw: bytes can be forwarded to a host and port alone. Set address to one and network to \"tcp\".";
      }
    ]) hosts;

    systemd.services = builtins.listToAttrs (map (host: lib.nameValuePair host.unitName (unit host)) hosts);
    systemd.slices.ts-proxy = {
      description = "Names on the tailnet";
      sliceConfig.MemoryAccounting = true;
    };
  };
}
