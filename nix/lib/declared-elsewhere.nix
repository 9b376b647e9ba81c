# Whether the host declares an option by a module of its own, so that ours stands aside.
#
# The host's modules are looked at once more without the two of ours that may collide with them. Only the names of
# options are asked for, so no configuration is evaluated twice. Give the answer to a lazy part of `options` alone:
# names at the top must not depend on it.
{ lib }:
{
  extendModules,
  without,
}:
let
  others = extendModules {
    modules = [
      {
        disabledModules = map (key: { inherit key; }) without;
        _module.check = lib.mkForce false; # what is set for ours has no option there
      }
    ];
  };
in
path: lib.hasAttrByPath path others.options
