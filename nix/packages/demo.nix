# `nix run .#demo`: what `make demo` does, with nixpkgs' PostgreSQL, Redis and torch.
{
  writeShellApplication,
  python3,
  postgresql,
  redis,
  cvatd,
  cvatd-trainer,
}:
let
  python = python3.withPackages (packages: [ (packages.toPythonModule cvatd) ]);
in
writeShellApplication {
  name = "cvatd-demo";
  runtimeInputs = [
    postgresql
    redis
  ];
  text = ''
    export DEMO_DIR="''${DEMO_DIR:-$PWD/.demo}"
    export TRAINER_PYTHON=${cvatd-trainer}/bin/python3
    exec ${python}/bin/python3 ${../../scripts}/demo.py "$@"
  '';
}
