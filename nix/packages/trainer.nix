# The trainer's Python: torch and Ultralytics, which no other process of cvatd imports.
{ python3 }:
python3.withPackages (packages: [
  packages.ultralytics
  packages.torch
  packages.torchvision
  packages.opencv4
])
