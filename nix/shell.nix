# The tools to work on cvatd; Python's packages are installed by make, as they are without Nix.
{
  pkgs ? import <nixpkgs> { },
}:
pkgs.mkShell {
  packages = [
    pkgs.gnumake
    pkgs.nixfmt-tree
    pkgs.podman
    pkgs.postgresql
    pkgs.python3
    pkgs.redis
  ];
}
