# The units of a host that declares everything, as systemd itself sees them.
{
  path,
  runCommand,
  stdenv,
  systemd,
}:
let
  inherit
    (import ./units.nix {
      nixpkgs = path;
      inherit (stdenv.hostPlatform) system;
    })
    folder
    ;
in
{
  units = runCommand "cvat-units" { nativeBuildInputs = [ systemd ]; } ''
    mkdir units
    cp -L ${folder}/* units/
    SYSTEMD_UNIT_PATH=$PWD/units:${systemd}/example/systemd/system systemd-analyze verify --man=no units/* 2> said || true
    if [ -s said ]; then
      cat said
      exit 1
    fi
    cp -r units $out
  '';
}
