"""docs/options.md: every option of the NixOS modules, from the modules themselves.

`python -m tests.nix.reference` writes it anew.
"""

import re
from typing import Any

from tests.nix.evaluate import ROOT, evaluate

FILE = ROOT / "docs" / "options.md"
ROLE = re.compile(r"\{\w+\}(`[^`]*`)")
HEAD = """# Options of the NixOS modules

Written by `python -m tests.nix.reference` from the modules (nixpkgs' lib {version}). Their use: [nixos.md](nixos.md).
"""


def ask() -> dict[str, Any]:
    found: dict[str, Any] = evaluate(f"import {ROOT}/nix/tests/options.nix")
    return found


def render(found: dict[str, Any]) -> str:
    parts = [HEAD.format(version=found["version"])]
    module = ""
    for option in sorted(found["options"], key=lambda option: _order(option["name"])):
        if _module(option["name"]) != module:
            module = _module(option["name"])
            parts.append(f"## {module}\n")
        parts.append(_render_option(option))
    return "\n".join(parts)


def _module(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _order(name: str) -> tuple[int, str]:
    return ["services.cvat", "services.cvatd", "services.ts-proxy", "networking.ports"].index(_module(name)), name


def _render_option(option: dict[str, Any]) -> str:
    description = ROLE.sub(r"\1", option["description"] or "").strip().replace("\n", " ")
    lines = [f"### {option['name']}\n", f"{description}\n", f"- Type: {option['type']}"]
    given = [word for word in ("default", "example") if option[word] is not None]
    lines += [f"- {word.capitalize()}: {_value(option[word])}" for word in given]
    return "\n".join(lines) + "\n"


def _value(text: str) -> str:
    """Code, in one line as far as it goes; what is Markdown already stays so."""
    text = ROLE.sub(r"\1", text).strip()
    if "`" in text:
        return " ".join(text.split())
    if "\n" not in text:
        return f"`{text}`"
    indented = "\n".join(f"  {line}" for line in text.splitlines())
    return f"\n\n  ```nix\n{indented}\n  ```"


def main() -> None:
    FILE.write_text(render(ask()))


if __name__ == "__main__":
    main()
