# A NixOS host with our modules, by whatever <nixpkgs> is: what each test asks.
{
  nixpkgs ? <nixpkgs>,
  system ? builtins.currentSystem,
}:
{
  configuration ? { },
  modules ? [ ../modules ],
}:
import (nixpkgs + "/nixos") {
  inherit system;
  configuration = {
    imports = modules ++ [ configuration ];
    system.stateVersion = "25.11";
    boot.loader.grub.enable = false;
    fileSystems."/" = {
      device = "/dev/null";
      fsType = "ext4";
    };
  };
}
