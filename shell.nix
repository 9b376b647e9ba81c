# For `nix-shell`; `nix develop` gives the same.
import ./nix/shell.nix
