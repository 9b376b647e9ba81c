"""A port for each service that is the same on each host, with no list that somebody keeps.

`nix/lib/port-of.nix` is the same rule for NixOS.
"""

import hashlib

LOWEST = 1025
HIGHEST = 49150
DIGITS = 4


def port_of(key: str) -> int | None:
    """The first four hex digits of the key's MD5 that give a port of a user, moving on by four; None when none do."""
    digits = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    numbers = (int(digits[place : place + DIGITS], 16) for place in range(0, len(digits), DIGITS))
    return next((number for number in numbers if LOWEST <= number <= HIGHEST), None)
