"""What the trainer's Python can do, as it says itself: asked once, kept in a file, never imported."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from cvatd.core.errors import CvatdError
from cvatd.training.runner import TRAINER_MAIN, trainer_environment

ASK_TIMEOUT_S = 300  # torch is large, and the first start of a host reads it from disk


class Argument(BaseModel):
    type: Literal["int", "float", "fraction", "bool", "string", "any"]
    default: Any = None


class Models(BaseModel):
    scratch: list[str]
    pretrained: list[str]


class Description(BaseModel):
    ultralytics_version: str
    torch_version: str
    python_version: str
    device: str
    devices: list[str]
    arguments: dict[str, Argument]
    models: Models


def load_description(python: Path, cache: Path) -> Description:
    """The description kept in `cache`, asked for anew when the trainer's Python changed.

    Raises CvatdError "trainer_unusable" in words.
    """
    key = fingerprint(python)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # a ValidationError is a ValueError
        kept = json.loads(cache.read_text())
        if kept["key"] == key:
            return Description.model_validate(kept["description"])
    described = ask(python, cache.parent / "trainer")
    temporary = cache.with_name(f".{cache.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"key": key, "description": described.model_dump()}))
    temporary.rename(cache)
    return described


def fingerprint(python: Path) -> list[str]:
    """Changes when another interpreter is named, or its packages are installed anew."""
    packages = sorted(python.parent.parent.glob("lib/python*/site-packages"))
    changed = [str(folder.stat().st_mtime_ns) for folder in packages]
    return [str(python.absolute()), os.path.realpath(python), *changed]


def ask(python: Path, shared_dir: Path) -> Description:
    try:
        answer = subprocess.run(
            [python, TRAINER_MAIN, "describe", shared_dir],
            capture_output=True,
            text=True,
            timeout=ASK_TIMEOUT_S,
            check=False,
            env=trainer_environment(shared_dir.absolute()),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CvatdError("trainer_unusable", f"The trainer's Python {python} cannot be run: {error}") from None
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["no word"])[-1]
        hint = "`make demo` installs it." if python == Path(sys.executable) else "See trainer.python in the settings."
        raise CvatdError(
            "trainer_unusable", f"The trainer's Python {python} has no working Ultralytics: {last}. {hint}"
        )
    said = (answer.stdout.strip().splitlines() or ["nothing"])[-1]  # Ultralytics may greet first
    try:
        return Description.model_validate_json(said)
    except ValidationError:
        raise CvatdError(
            "trainer_unusable", f"The trainer's Python {python} does not describe itself; it says: {said[:300]}"
        ) from None
