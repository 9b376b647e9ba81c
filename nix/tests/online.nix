# The test of machine.nix with CVAT's own images, on a host with KVM and a network (5 GB are pulled):
#
#     nix-build nix/tests/online.nix --attr driver && ./result/bin/nixos-test-driver
#
# The driver runs outside of Nix's sandbox, where the machine reaches what the host reaches.
{
  pkgs ? import <nixpkgs> { },
}:
import ./machine.nix {
  inherit pkgs;
  online = true;
}
