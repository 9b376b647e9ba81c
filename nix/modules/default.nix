# All that a host needs to import.
{
  imports = [
    ./ports.nix
    ./ts-proxy.nix
    ./cvat
    ./cvatd
  ];
}
