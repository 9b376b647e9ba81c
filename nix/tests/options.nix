# What tests/nix/reference.py asks: every option of ours, with what a reader wants to know.
let
  lib = import <nixpkgs/lib>;
  inherit (import ./host.nix { } { }) options;
  text = value: if value == null then null else if builtins.isString value then value else value.text or null;
  shown = [
    options.services.cvat
    options.services.cvatd
    options.services.ts-proxy
    options.networking.ports
  ];
  one = option: {
    inherit (option) name type;
    description = text option.description;
    default = text (option.default or null);
    example = text (option.example or null);
  };
  isShown = option: option.visible && !option.internal;
in
{
  inherit (lib) version;
  options = map one (builtins.filter isShown (lib.concatMap lib.optionAttrSetToDocList shown));
}
