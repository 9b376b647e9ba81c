"""The units of a host as NixOS evaluates them."""

from functools import cache
from pathlib import Path

from tests.nix.evaluate import ROOT, nix_string, realise


@cache
def declare(**arguments: str) -> Path:
    """Arguments are Nix, and those of nix/tests/stack.nix."""
    cvatd = nix_string(str(ROOT / ".venv" / "bin" / "cvatd"))
    named = "".join(f"{name} = {value}; " for name, value in arguments.items())
    return realise(f"import {ROOT}/nix/tests/stack.nix {{ cvatd = {cvatd}; {named}}}")
