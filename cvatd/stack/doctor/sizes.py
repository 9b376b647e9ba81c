"""How large the folders are that grow. Counted within a bound of time: of a large cache a lower bound is enough."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from cvatd.core.settings import StackSettings
from cvatd.stack.doctor.evidence import Size, Sizes

COUNT_S = 3.0
STALE_S = 2 * 86_400
BLOCK_BYTES = 512


def look(settings: StackSettings) -> Sizes:
    data = settings.data_dir / "data"
    stale, oldest = stale_files(data / "cache" / "export", time.time() - STALE_S)
    return Sizes(
        cache=size(data / "cache"),
        kvrocks=size(settings.data_dir / "kvrocks"),
        logs=size(settings.data_dir / "logs"),
        stale_exports=stale,
        oldest_export_at=oldest,
    )


def size(folder: Path, seconds: float = COUNT_S) -> Size:
    """What it occupies on disk; links are not followed."""
    deadline, total = time.monotonic() + seconds, 0
    for status in _files(folder):
        total += status.st_blocks * BLOCK_BYTES
        if time.monotonic() > deadline:
            return Size(total, whole=False)
    return Size(total)


def stale_files(folder: Path, before: float, seconds: float = COUNT_S) -> tuple[int, float]:
    """(how many were last written before that moment, when the oldest was)."""
    deadline, count, oldest = time.monotonic() + seconds, 0, 0.0
    for status in _files(folder):
        if status.st_mtime < before:
            count += 1
            oldest = min(oldest or status.st_mtime, status.st_mtime)
        if time.monotonic() > deadline:
            break
    return count, oldest


def _files(folder: Path) -> Iterator[os.stat_result]:
    """Of all files below; what vanishes meanwhile is left out."""
    folders = [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                        elif entry.is_file(follow_symlinks=False):
                            yield entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
        except OSError:
            continue
