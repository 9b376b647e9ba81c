# `nix flake check`: what is evaluated and built wherever Nix runs, and the machines for hosts with KVM.
{ pkgs }:
{
  inherit (pkgs.callPackage ./verify.nix { }) units;
  machine = import ./machine.nix { inherit pkgs; };
}
