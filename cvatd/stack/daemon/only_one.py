"""One daemon for one data folder."""

import fcntl
import os
from typing import TextIO

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import layout

LOCK_FILE = ".daemon.lock"


class OnlyOne:
    """A file lock in the data folder, let go by the kernel with its holder."""

    def __init__(self, settings: StackSettings) -> None:
        self._settings = settings
        self._file = settings.data_dir / LOCK_FILE
        self._lock = self._take()

    def renew(self) -> None:
        """`reset` renames the folder with the lock in it. Raises CvatdError "busy" when another was faster."""
        try:
            if os.path.samestat(self._file.stat(), os.fstat(self._lock.fileno())):
                return
        except FileNotFoundError:
            if not self._file.parent.is_dir():
                return
        self._lock.close()
        self._lock = self._take()

    def close(self) -> None:
        self._lock.close()

    def _take(self) -> TextIO:
        try:
            lock = self._file.open("a+")
        except OSError as error:
            raise layout.unusable(self._settings, error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read(20).strip() or "unknown"
            lock.close()
            words = f"Another daemon (process {holder}) keeps {self._settings.data_dir} already."
            raise CvatdError("busy", words) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock
