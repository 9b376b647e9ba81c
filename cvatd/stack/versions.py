"""Which release of CVAT and of PostgreSQL the data on disk belong to, and what each image's migrations are."""

import json
import re
from pathlib import Path
from typing import Any

from cvatd.core.settings import StackSettings
from cvatd.stack.layout import read_foreign, write_atomically

KEPT_PLANS = 10
VERSION_BYTES = 100
RELEASE = re.compile(r"\d+\.\d+\.\d+")


def data_version(settings: StackSettings) -> str | None:
    """The release whose migrations the data have had; None before the first `init`."""
    version = str(_read(_version_file(settings)).get("version"))
    return version if RELEASE.fullmatch(version) else None


def record_version(settings: StackSettings, version: str) -> None:
    write_atomically(_version_file(settings), json.dumps({"version": version}) + "\n", 0o600)


def postgres_major(settings: StackSettings) -> int | None:
    """What PostgreSQL itself wrote into its folder; None where there is none yet."""
    try:
        return int(read_foreign(settings.data_dir / "postgres" / "PG_VERSION", VERSION_BYTES))
    except (OSError, ValueError):
        return None


def migrations_of(settings: StackSettings, image_id: str) -> set[str] | None:
    """The migrations (`app.name`) that this image needs; None for one that was never initialised here.

    Asking CVAT itself costs seconds; an image's migrations never change.
    """
    plan = _read(_plan_file(settings, image_id)).get("required")
    return set(plan) if plan is not None else None


def record_migrations(settings: StackSettings, image_id: str, required: list[str]) -> None:
    file = _plan_file(settings, image_id)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    write_atomically(file, json.dumps({"required": sorted(required)}) + "\n", 0o600)
    plans = sorted(file.parent.glob("*.json"), key=lambda plan: plan.stat().st_mtime, reverse=True)
    for old in plans[KEPT_PLANS:]:
        old.unlink(missing_ok=True)


def initial_superuser(settings: StackSettings) -> dict[str, str]:
    """`username` and `mark` (SHA-256 of the hash in the database) of the superuser as `init` made it; empty if not."""
    return _read(settings.data_dir / "state" / "superuser.json")


def record_initial_superuser(settings: StackSettings, username: str, mark: str) -> None:
    file = settings.data_dir / "state" / "superuser.json"
    write_atomically(file, json.dumps({"username": username, "mark": mark}) + "\n", 0o600)


def _version_file(settings: StackSettings) -> Path:
    return settings.data_dir / "state" / "version.json"


def _plan_file(settings: StackSettings, image_id: str) -> Path:
    return settings.data_dir / "state" / "plans" / f"{image_id.removeprefix('sha256:')[:40]}.json"


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
