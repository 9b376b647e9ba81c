"""Runs a few services in the foreground: starts them in order, restarts what dies, ends all in reverse order."""

import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from cvatd.core.errors import CvatdError

PR_SET_PDEATHSIG = 1
READY_PAUSE_S = 0.05
FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 10.0
WATCHED_S = 60.0
MOST_DEATHS = 10  # within the time watched
LAST_LINES = 15
# A second Ctrl-C kills what is left; one that comes at once is the same one, passed on by a parent (make, timeout).
HURRY_AFTER_S = 1.0

libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Service:
    """One child. `ready` is asked until it says yes; `options` go to subprocess (user, cwd, env)."""

    name: str
    argv: list[str]
    ready: Callable[[], bool] = lambda: True
    ready_timeout_s: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0
    options: dict[str, Any] = field(default_factory=dict)


def backoff(deaths: list[float], now: float) -> float | None:
    """Seconds to wait before a restart, given when the service died; None when it is to be given up. Pure."""
    recent = [moment for moment in deaths if now - moment < WATCHED_S]
    if len(recent) >= MOST_DEATHS:
        return None
    return float(min(FIRST_BACKOFF_S * 2 ** max(len(recent) - 1, 0), LONGEST_BACKOFF_S))


@dataclass
class _Child:
    service: Service
    process: subprocess.Popen[bytes]
    pidfd: int
    restart_at: float | None = None
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_DEATHS))


class Supervisor:
    """Holds `<data_dir>/lock` while it lives, so that a second one on the same data is refused."""

    def __init__(self, data_dir: Path, say: Callable[[str], None], handle_signals: bool = True) -> None:
        self._dir = data_dir.absolute()
        self._say = say
        self._handle_signals = handle_signals
        self._children: list[_Child] = []
        self._lock: IO[str] | None = None
        self._asked_at: float | None = None
        # A signal's number arrives here, so that waiting for children and for signals is one thing.
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> "Supervisor":
        self._dir.mkdir(parents=True, exist_ok=True)
        self._lock = (self._dir / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            raise CvatdError(
                "already_running", f"cvatd dev is already running on {self._dir} (pid {holder})."
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        (self._dir / "log").mkdir(exist_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM) if self._handle_signals else ():
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._lock:
            self._lock.close()

    def start(self, service: Service) -> None:
        """Start and wait until it is ready. Raises CvatdError "service" with its last lines."""
        began = time.monotonic()
        child = self._spawn(service)
        self._children.append(child)
        while not service.ready():
            if self._asked_at is not None:
                return
            if child.process.poll() is not None:
                raise self._failure(service, f"ended with status {child.process.returncode} before it was ready")
            if time.monotonic() - began > service.ready_timeout_s:
                raise self._failure(service, f"was not ready within {service.ready_timeout_s:.0f} s")
            time.sleep(READY_PAUSE_S)
        self._say(f"{service.name} is up after {time.monotonic() - began:.1f} s")

    def run(self) -> None:
        """Watch until SIGINT or SIGTERM. Raises CvatdError when a service dies again and again."""
        while self._asked_at is None:
            poll = select.poll()
            poll.register(self._wake_r, select.POLLIN)
            for child in self._children:
                if child.restart_at is None:
                    poll.register(child.pidfd, select.POLLIN)
            poll.poll(self._timeout_ms())
            for child in self._children:
                self._tend(child)

    def _timeout_ms(self) -> int | None:
        waits = [child.restart_at - time.monotonic() for child in self._children if child.restart_at is not None]
        return max(0, int(min(waits) * 1000) + 1) if waits else None

    def _tend(self, child: _Child) -> None:
        now = time.monotonic()
        if child.restart_at is None:
            if child.process.poll() is None:
                return
            child.deaths.append(now)
            pause_s = backoff(list(child.deaths), now)
            if pause_s is None:
                raise self._failure(child.service, f"died {MOST_DEATHS} times within a minute")
            self._say(f"{child.service.name} ended with status {child.process.returncode}; starting it again")
            child.restart_at = now + pause_s
        if now >= child.restart_at:
            os.close(child.pidfd)
            fresh = self._spawn(child.service)
            child.process, child.pidfd, child.restart_at = fresh.process, fresh.pidfd, None

    def _spawn(self, service: Service) -> _Child:
        with (self._dir / "log" / f"{service.name}.log").open("ab") as log:
            process = subprocess.Popen(
                service.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: _die_with_parent(service.stop_signal),
                **service.options,
            )
        return _Child(service, process, os.pidfd_open(process.pid))

    def _failure(self, service: Service, words: str) -> CvatdError:
        log = self._dir / "log" / f"{service.name}.log"
        last = "\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:])
        return CvatdError("service", f"{service.name} {words}. The end of {log}:\n{last}")

    def stop(self) -> None:
        """End every service, the last started first."""
        for child in reversed(self._children):
            if child.process.poll() is None:
                self._say(f"stopping {child.service.name}")
                self._stop(child)
            os.close(child.pidfd)
        self._children.clear()

    def _stop(self, child: _Child) -> None:
        child.process.send_signal(child.service.stop_signal)
        try:
            child.process.wait(child.service.grace_s)
        except subprocess.TimeoutExpired:
            self._say(f"{child.service.name} did not end within {child.service.grace_s:.0f} s and is killed")
            os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
            os.write(self._wake_w, b"x")
        elif now - self._asked_at > HURRY_AFTER_S:
            for child in self._children:
                if child.process.poll() is None:
                    os.killpg(child.process.pid, signal.SIGKILL)


def _die_with_parent(number: int) -> None:
    """In the child: the kernel sends it `number` when the supervisor dies, however that happens."""
    libc.prctl(PR_SET_PDEATHSIG, number)


def say(words: str) -> None:
    print(f"cvatd dev: {words}", file=sys.stderr, flush=True)
