# What flake.nix gives.
{ self, nixpkgs }:
let
  inherit (nixpkgs) lib;
  systems = [
    "x86_64-linux"
    "aarch64-linux"
  ];
  perSystem = f: lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
in
{
  nixosModules = {
    default = {
      imports = [ ./modules ];
    };
    # Each alone, for hosts that have the others already.
    cvat = {
      imports = [ ./modules/cvat ];
    };
    cvatd = {
      imports = [ ./modules/cvatd ];
    };
    ports = {
      imports = [ ./modules/ports.nix ];
    };
    ts-proxy = {
      imports = [ ./modules/ts-proxy.nix ];
    };
  };

  overlays.default = final: _: import ./packages final;

  packages = perSystem (
    pkgs:
    let
      packages = import ./packages pkgs;
    in
    packages // { default = packages.cvatd; }
  );

  apps = perSystem (
    pkgs:
    let
      packages = import ./packages pkgs;
    in
    {
      default = {
        type = "app";
        program = lib.getExe packages.cvatd;
        meta.description = "The terminal of cvatd";
      };
      demo = {
        type = "app";
        program = lib.getExe packages.cvatd-demo;
        meta.description = "From an empty folder to a trained model, and the proof that it learned";
      };
    }
  );

  checks = perSystem (pkgs: import ./tests { inherit pkgs; });

  devShells = perSystem (pkgs: {
    default = import ./shell.nix { inherit pkgs; };
  });

  formatter = perSystem (pkgs: pkgs.nixfmt-tree);
}
