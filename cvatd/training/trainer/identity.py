"""Which process trains: written by itself as its first act, so that no worker's death leaves a trainer unknown."""

import json
import os
from pathlib import Path

PID_FILE = "trainer.pid"


def announce(run_dir: Path) -> None:
    temporary = run_dir / f".{PID_FILE}"
    temporary.write_text(json.dumps({"pid": os.getpid(), "started": start_time(os.getpid())}))
    temporary.rename(run_dir / PID_FILE)


def start_time(pid: int) -> str | None:
    """When the kernel started this process: tells it from a later one of the same number."""
    try:
        # The second field is the program's name and may hold anything, so count from behind its bracket.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None
