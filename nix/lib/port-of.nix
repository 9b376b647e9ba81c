# The port of a key: the first four hex digits of its MD5 that give a number above 1024 and below 49151, moving on
# by four digits. null where none of the eight groups does (one key in forty thousand).
# cvatd/core/ports.py is the same rule in Python; a test compares the two.
{ lib }:
key:
let
  digits = builtins.hashString "md5" key;
  number = place: lib.fromHexString (builtins.substring place 4 digits);
  good = builtins.filter (port: port > 1024 && port < 49151) (
    map number [
      0
      4
      8
      12
      16
      20
      24
      28
    ]
  );
in
if good == [ ] then null else builtins.head good
