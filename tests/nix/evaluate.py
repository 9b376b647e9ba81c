"""Asks Nix: the NixOS modules are evaluated by Nix itself, against whatever <nixpkgs> is on this machine."""

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EVALUATION_TIMEOUT_S = 240
FIND_TIMEOUT_S = 30
# As root without a group of build users Nix builds as root; those users kill what has their numbers in containers.
NIX_CONFIG = "\n".join(
    [
        "build-users-group =",
        "sandbox = false",
        "substitute = false",
        "experimental-features = nix-command flakes",
        "warn-dirty = false",
    ]
)


class EvaluationError(Exception):
    """What Nix said."""


@cache
def nixpkgs() -> Path | None:
    """The folder that <nixpkgs> stands for; None where Nix, <nixpkgs> or the right to write to the store is missing."""
    if shutil.which("nix-instantiate") is None:
        return None
    found = _run(["nix-instantiate", "--find-file", "nixpkgs"], FIND_TIMEOUT_S)
    folder = Path(found.stdout.strip()) if found.returncode == 0 else None
    if folder is None or not (folder / "nixos").is_dir():
        return None
    # Scripts and settings are written into the store while the modules are evaluated.
    written = _run(["nix-instantiate", "--eval", "-E", 'builtins.toFile "may-write" ""'], FIND_TIMEOUT_S)
    return folder if written.returncode == 0 else None


def evaluate(expression: str, **arguments: object) -> Any:
    """The value of a Nix expression; `arguments` are JSON values that it may name. Raises EvaluationError."""
    done = _run(
        ["nix-instantiate", "--eval", "--strict", "--json", "-E", _with(expression, arguments)], EVALUATION_TIMEOUT_S
    )
    if done.returncode:
        raise EvaluationError(done.stderr)
    return json.loads(done.stdout)


def realise(expression: str, **arguments: object) -> Path:
    """Build what an expression gives. Raises EvaluationError."""
    done = _run(["nix-build", "--no-out-link", "-E", _with(expression, arguments)], EVALUATION_TIMEOUT_S)
    if done.returncode:
        raise EvaluationError(done.stderr)
    return Path(done.stdout.strip())


def verify(folder: Path) -> list[str]:
    """What systemd-analyze has against the units in a folder. Its exit status says nothing."""
    units = sorted(str(unit) for unit in folder.iterdir())
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:/usr/lib/systemd/system"}
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        timeout=EVALUATION_TIMEOUT_S,
        env=environment,
    )
    return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


def _with(expression: str, arguments: dict[str, object]) -> str:
    named = "".join(
        f"{name} = builtins.fromJSON {nix_string(json.dumps(value))};\n" for name, value in arguments.items()
    )
    return f"let root = {ROOT}; host = import {ROOT}/nix/tests/host.nix {{ }};\n{named}in {expression}"


def nix_string(text: str) -> str:
    """`text` as Nix writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'


def _run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NIX_CONFIG": NIX_CONFIG}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment, cwd="/")
