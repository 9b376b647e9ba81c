"""systemd's protocol for services: a datagram with words to the socket that it names. Silent where none is named."""

import contextlib
import os
import socket
import time

MOST_BYTES = 2048


class Notifier:
    def __init__(self, environment: dict[str, str] | None = None) -> None:
        environment = dict(os.environ) if environment is None else environment
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._feed_every_s = _watchdog_s(environment) / 2
        self._fed_at = float("-inf")
        self._status = ""

    def ready(self) -> None:
        self._send("READY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def status(self, words: str) -> None:
        """One line for `systemctl status`."""
        line = " ".join(words.split())
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def alive(self) -> None:
        """Feed the watchdog, if there is one: only to be called where the work really goes on."""
        now = time.monotonic()
        if self._feed_every_s and now - self._fed_at >= self._feed_every_s / 2:
            self._fed_at = now
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if self._address is None:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(text.encode()[:MOST_BYTES].decode(errors="ignore").encode(), self._address)


def _address(named: str) -> str | bytes | None:
    """A name that begins with @ has no file: to the kernel it begins with a zero byte."""
    if named.startswith("@"):
        return b"\0" + os.fsencode(named[1:])
    return named if named.startswith("/") else None


def _watchdog_s(environment: dict[str, str]) -> float:
    """0 where none is set, or it is set for another process."""
    try:
        pid = int(environment.get("WATCHDOG_PID", os.getpid()))
        return int(environment.get("WATCHDOG_USEC", 0)) / 1e6 if pid == os.getpid() else 0.0
    except ValueError:
        return 0.0
