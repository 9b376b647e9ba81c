# All packages, from a package set.
pkgs: rec {
  cvatd = pkgs.callPackage ./cvatd.nix { };
  cvatd-trainer = pkgs.callPackage ./trainer.nix { };
  cvatd-demo = pkgs.callPackage ./demo.nix { inherit cvatd cvatd-trainer; };
}
