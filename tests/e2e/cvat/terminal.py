"""A program on a terminal of its own, as a person would run it. Every read and wait has an end."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

READ_BYTES = 65536
EXIT_S = 20.0


class Terminal:
    """`argv` on a terminal of `columns`; killed at the end of the block at the latest."""

    def __init__(self, argv: list[str | Path], env: Mapping[str, str], columns: int = 100, lines: int = 40) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        own = {name: value for name, value in env.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
        # setsid makes the terminal the controlling one, so that ^C becomes a signal.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv], env=own | {"TERM": "xterm-256color"}, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        self.shown = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(EXIT_S)
        os.close(self._master)

    def expect(self, words: str, timeout_s: float) -> str:
        """Read until `words` were shown; all that was shown since the last call. Fails with it when they were not."""
        deadline = time.monotonic() + timeout_s
        while words not in self.shown:
            left = deadline - time.monotonic()
            assert left > 0, f"{words!r} was not shown within {timeout_s} s:\n{self.shown}"
            assert self._read(left), f"{words!r} was not shown to the end ({self.process.poll()}):\n{self.shown}"
        position = self.shown.index(words) + len(words)
        shown, self.shown = self.shown[:position], self.shown[position:]
        return shown

    def send(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait(self, timeout_s: float = EXIT_S) -> int:
        """The exit status; reads on, so that nobody waits for a full terminal."""
        deadline = time.monotonic() + timeout_s
        while self._read(0.05) or self.process.poll() is None:
            assert time.monotonic() < deadline, f"did not end within {timeout_s} s:\n{self.shown}"
        return self.process.wait(1)

    def _read(self, timeout_s: float) -> bool:
        """False when nothing came."""
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        try:
            content = os.read(self._master, READ_BYTES)
        except OSError:  # nobody has the other end open any more
            time.sleep(0.02)
            return False
        self.shown += content.decode(errors="replace")
        return bool(content)
