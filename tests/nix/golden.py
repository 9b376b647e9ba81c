"""nix/tests/units.golden.txt: the units of a host that declares everything, for a person to review.

`python -m tests.nix.golden` writes it anew.
"""

import hashlib
import re

from tests.nix.evaluate import ROOT, evaluate, nixpkgs

GOLDEN = ROOT / "nix" / "tests" / "units.golden.txt"
STORE_HASH = re.compile(r"/nix/store/[0-9a-z]{32}-")
# Of each host alike, and another in each release of NixOS.
LEFT_OUT = ('Environment="PATH=', 'Environment="LOCALE_ARCHIVE=', 'Environment="TZDIR=')


def made_with() -> str:
    """Marks NixOS's own container module, whose words differ from release to release."""
    folder = nixpkgs()
    if folder is None:
        return "nothing"
    module = folder / "nixos" / "modules" / "virtualisation" / "oci-containers.nix"
    return hashlib.sha256(module.read_bytes()).hexdigest()[:12]


def render(texts: dict[str, str]) -> str:
    parts = [f"# Written by `python -m tests.nix.golden` with oci-containers.nix {made_with()}.\n"]
    for name in sorted(texts):
        lines = [line for line in texts[name].splitlines() if line and not line.startswith(LEFT_OUT)]
        parts.append(
            "\n".join([f"##### {name}", *(STORE_HASH.sub("/nix/store/…-", line).rstrip() for line in lines)]) + "\n"
        )
    return "\n".join(parts)


def main() -> None:
    texts = evaluate(f"(import {ROOT}/nix/tests/units.nix {{ }}).texts")
    GOLDEN.write_text(render(texts))


if __name__ == "__main__":
    main()
