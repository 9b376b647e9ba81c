# Tells ports.nix and ts-proxy.nix whether the host has modules of its own for what they declare.
{ lib, extendModules, ... }:
{
  key = "cvatd/elsewhere";
  _file = ./elsewhere.nix;

  config._module.args.cvatdDeclaredElsewhere = import ../lib/declared-elsewhere.nix { inherit lib; } {
    inherit extendModules;
    without = [
      "cvatd/ports"
      "cvatd/ts-proxy"
    ];
  };
}
