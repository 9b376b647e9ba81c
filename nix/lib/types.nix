# Types of options that nixpkgs does not have.
{ lib }:
let
  inherit (lib) types;
  factors = {
    "" = 1;
    K = 1024;
    M = 1024 * 1024;
    G = 1024 * 1024 * 1024;
    T = 1024 * 1024 * 1024 * 1024;
  };
  size = "([1-9][0-9]{0,12})([KMGT]?)";
in
rec {
  # Memory as systemd writes it: 2048M, 2G, or bytes.
  memory = types.strMatching size // {
    description = "amount of memory such as 2048M or 2G";
  };

  # The bytes of a `memory`.
  toBytes =
    text:
    let
      parts = builtins.match size text;
    in
    lib.toIntBase10 (builtins.elemAt parts 0) * factors.${builtins.elemAt parts 1};

  # Processor time as systemd writes it: 100% is one processor.
  percent = types.strMatching "[1-9][0-9]{1,4}%" // {
    description = "processor time such as 100% (one processor), 10% at least";
  };

  toPercent = text: lib.toIntBase10 (lib.removeSuffix "%" text);

  # A secret's file. A path literal (./secret) would be copied into the store, which everybody may read.
  secretFile = lib.mkOptionType {
    name = "secretFile";
    description = ''file outside of the Nix store, which everybody may read, named by a string such as "/run/secrets/name" and not by a path literal'';
    descriptionClass = "noun";
    check = value: builtins.isString value && lib.hasPrefix "/" value && !lib.hasPrefix builtins.storeDir value;
    merge = lib.options.mergeEqualOption;
  };
}
