# What differs between releases of CVAT, from the same releases.json as cvatd/stack/releases.py.
{ lib }:
let
  data = lib.importJSON ../../../cvatd/stack/releases.json;
  plain = lib.removePrefix "v";
in
rec {
  inherit (data) newest;
  oldest = (builtins.head data.releases).from;

  known = version: lib.versionAtLeast (plain version) oldest;

  # The release that an image's tag names; null for tags such as `dev` and for digests.
  versionOfImage =
    reference:
    let
      tagged = builtins.match ".*:v?([0-9]+\\.[0-9]+\\.[0-9]+)" reference;
    in
    if tagged == null then null else builtins.head tagged;

  # The facts of a release: every entry up to it, the later over the earlier.
  find =
    version:
    let
      wanted = plain version;
      # One older than all that are known is refused by checks.nix; here it is taken for the oldest.
      entries = builtins.filter (entry: lib.versionAtLeast wanted entry.from || entry.from == oldest) data.releases;
      facts = builtins.foldl' (
        old: new: old // new // { images = (old.images or { }) // (new.images or { }); }
      ) { } entries;
      isNewer = lib.versionOlder newest wanted;
    in
    facts
    // {
      version = wanted;
      checked = facts.checked && !isNewer;
      evidence = if isNewer then "newer than ${newest}, whose facts are taken" else facts.evidence;
      images = builtins.mapAttrs (_: builtins.replaceStrings [ "@version@" ] [ wanted ]) facts.images;
    };

  tooOld = version: ''
    services.cvat.version: CVAT ${version} is older than any that is known here. Set it to ${oldest} or newer; ${newest} is the newest known.'';
}
