"""How large the folders are that grow. Counted within a bound of time: of a large cache a lower bound is enough."""

import time
from pathlib import Path

from cvatd.core.settings import StackSettings
from cvatd.stack.disk_usage import files, size
from cvatd.stack.doctor.evidence import Sizes

COUNT_S = 3.0
STALE_S = 2 * 86_400


def look(settings: StackSettings) -> Sizes:
    data = settings.data_dir / "data"
    stale, oldest = stale_files(data / "cache" / "export", time.time() - STALE_S)
    return Sizes(
        cache=size(data / "cache", time.monotonic() + COUNT_S),
        kvrocks=size(settings.data_dir / "kvrocks", time.monotonic() + COUNT_S),
        logs=size(settings.data_dir / "logs", time.monotonic() + COUNT_S),
        stale_exports=stale,
        oldest_export_at=oldest,
    )


def stale_files(folder: Path, before: float, seconds: float = COUNT_S) -> tuple[int, float]:
    """(how many were last written before that moment, when the oldest was)."""
    deadline, count, oldest = time.monotonic() + seconds, 0, 0.0
    for status in files(folder):
        if status.st_mtime < before:
            count += 1
            oldest = min(oldest or status.st_mtime, status.st_mtime)
        if time.monotonic() > deadline:
            break
    return count, oldest
