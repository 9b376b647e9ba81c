"""What folders occupy on disk, counted within a bound of time: of large ones a lower bound is enough."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 512


@dataclass(frozen=True)
class Size:
    """Of a folder; `whole` is False when there was no time to count all, so that it is at least this."""

    bytes: int
    whole: bool = True


EMPTY = Size(0)


def size(folder: Path, deadline: float) -> Size:
    """Until `deadline` (monotonic seconds). Links are not followed."""
    total = 0
    for status in files(folder):
        if time.monotonic() > deadline:
            return Size(total, whole=False)
        total += status.st_blocks * BLOCK_BYTES
    return Size(total)


def files(folder: Path) -> Iterator[os.stat_result]:
    """Of all files below; what vanishes meanwhile or may not be read is left out."""
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
