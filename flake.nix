{
  description = "From image to model on one host: annotate in CVAT, review, train YOLO, run the model on video";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs = inputs: import ./nix/outputs.nix { inherit (inputs) self nixpkgs; };
}
