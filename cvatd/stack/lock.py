"""One command at a time changes a stack: a file lock in its data folder, let go by the kernel with its holder."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import layout

LOCK_FILE = ".lock"
TIMEOUT_S = 5.0
POLL_S = 0.1


@contextlib.contextmanager
def exclusive(settings: StackSettings, timeout_s: float = TIMEOUT_S) -> Iterator[None]:
    """Raises CvatdError "busy" with the process that holds it when that does not end in time, or "data_dir"."""
    lock = _acquired(settings, time.monotonic() + timeout_s)
    with lock:
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def held(data_dir: Path) -> bool:
    """Whether a cvatd changes the stack right now."""
    try:
        with (data_dir / LOCK_FILE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def last_taken(data_dir: Path) -> tuple[float, int]:
    """When the lock was taken last (Unix seconds) and by which process, since each writes its number into it."""
    file = data_dir / LOCK_FILE
    try:
        return file.stat().st_mtime, int(file.read_text()[:20] or 0)
    except (OSError, ValueError):
        return 0.0, 0


def _acquired(settings: StackSettings, deadline: float) -> TextIO:
    while True:
        layout.make_data_dir(settings)
        file = settings.data_dir / LOCK_FILE
        try:
            lock = file.open("a+")
        except OSError as error:
            if isinstance(error, FileNotFoundError) and time.monotonic() < deadline:
                continue  # `reset` has just set the folder aside
            raise layout.unusable(settings, error) from None
        try:
            _wait(lock, deadline)
        except BaseException:
            lock.close()
            raise
        if _is_still(file, lock):
            return lock
        lock.close()


def _wait(lock: TextIO, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.seek(0)
                holder = lock.read(20).strip() or "unknown"
                words = f"Another cvatd (process {holder}) is changing this stack. Try again."
                raise CvatdError("busy", words) from None
            time.sleep(POLL_S)
        else:
            return


def _is_still(file: Path, lock: TextIO) -> bool:
    """`reset` renames the folder with the lock in it: who waited for it then holds one that guards nothing."""
    try:
        return os.path.samestat(file.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False
