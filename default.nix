# Without flakes: (import ./cvatd { }).nixosModules.default, and nix-build -A cvatd.
{
  pkgs ? import <nixpkgs> { },
}:
import ./nix/packages pkgs
// {
  nixosModules.default = ./nix/modules;
  overlays.default = final: _: import ./nix/packages final;
}
