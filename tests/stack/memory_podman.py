"""Podman with containers in memory alone: for what a real one cannot be made to do, such as failing at will."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from cvatd.stack.podman import Found, Host
from cvatd.stack.podman_gaps import ExecResult
from cvatd.stack.spec import Container

TIMEOUT_S = 20


class Memory:
    """`events` is what was done, in order; `fail`, `hold` and `begun` say what happens when it is."""

    url = "unix:///nowhere"

    def __init__(self, rootless: bool = False) -> None:
        self.there: dict[str, Found] = {}
        self.events: list[tuple[str, str]] = []
        self.fail: dict[tuple[str, str], BaseException] = {}
        self.hold: dict[tuple[str, str], threading.Event] = {}
        self.begun: dict[tuple[str, str], threading.Event] = {}
        self.rootless = rootless
        self._lock = threading.Lock()

    def host(self) -> Host:
        return Host("4.3.1", "cgroupfs", "v2", self.rootless, Path("/"))

    def containers(self) -> dict[str, Found]:
        with self._lock:
            return dict(self.there)

    def put(self, name: str, state: str = "running", **changes: Any) -> None:
        found = Found("1" * 64, name, state, "x", "2" * 64, 7, 0, 1000.0, 0.0, "{}", True, None)
        with self._lock:
            self.there[name] = replace(found, **changes)

    def create(self, container: Container, *_: object) -> None:
        self._did("create", container.name)
        self.put(container.name, "created")

    def start(self, name: str) -> None:
        self._did("start", name)
        self.put(name)

    def stop(self, name: str, _: float) -> None:
        self._did("stop", name)

    def remove(self, name: str) -> None:
        self._did("remove", name)
        with self._lock:
            self.there.pop(name, None)

    def execute(self, name: str, *_: object) -> ExecResult:
        return ExecResult(0, "", "")

    def inspect(self, name: str) -> dict[str, Any]:
        return {"State": {"OOMKilled": False}}

    def logs(self, name: str, tail: int) -> str:
        return f"the last words of {name}\n"

    def addresses(self, name: str, network: str) -> tuple[str, str] | None:
        return None

    def interface(self, network: str) -> None:
        return None

    def remove_network(self, name: str) -> None:
        self._did("remove", name)

    def names(self, verb: str) -> list[str]:
        return [name for what, name in self.events if what == verb]

    def _did(self, verb: str, name: str) -> None:
        if (begun := self.begun.get((verb, name))) is not None:
            begun.set()
        if (wait := self.hold.get((verb, name))) is not None:
            assert wait.wait(TIMEOUT_S)
        with self._lock:
            self.events.append((verb, name))
        if (failure := self.fail.get((verb, name))) is not None:
            raise failure
