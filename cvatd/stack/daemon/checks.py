"""The containers' own health checks at their declared intervals, each in a thread of its own so that none holds
up another; Podman's timers for them exist only where systemd runs.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from cvatd.stack.health import Answer
from cvatd.stack.podman import Found
from cvatd.stack.spec import Container, Health

# A container that has just started is asked often, so that those that need it do not wait for its interval.
STARTING_INTERVAL_S = 1.0
Ask = Callable[[Container], Answer | None]
"""Answers None where Podman could not be asked, which says nothing of the container."""


@dataclass(frozen=True)
class Checked:
    """`life` tells one start of a container from the next. `well` is None until the first answer that counts."""

    life: tuple[str, float]
    well: bool | None = None
    failures: int = 0
    words: str = ""
    due_at: float = 0.0


def after(before: Checked, answer: Answer, health: Health, started_at: float, now: float) -> Checked:
    """Pure. As Podman counts: failures while it starts do not count, single ones change nothing."""
    if answer.well:
        return replace(before, well=True, failures=0, words="", due_at=now + health.interval_s)
    if before.well is None and now - started_at < health.start_s:
        return replace(before, words=answer.words, due_at=now + min(STARTING_INTERVAL_S, health.interval_s))
    failures = before.failures + 1
    well = False if failures >= health.retries else before.well
    return replace(before, well=well, failures=failures, words=answer.words, due_at=now + health.interval_s)


def may_ask(container: Container, known: Mapping[str, Checked], found: Mapping[str, Found]) -> bool:
    """A check that runs in another container says nothing while that one does not work. Pure."""
    inside = container.health.inside if container.health else None
    if inside is None:
        return True
    other = known.get(inside)
    return inside in found and found[inside].running and (other is None or other.well is not False)


class Checks:
    def __init__(self, ask: Ask, wake: Callable[[], None]) -> None:
        self._ask = ask
        self._wake = wake
        self._guard = threading.Lock()
        self._known: dict[str, Checked] = {}
        self._asking: set[str] = set()

    def known(self) -> dict[str, Checked]:
        with self._guard:
            return dict(self._known)

    def turn(self, containers: Mapping[str, Container], found: Mapping[str, Found]) -> None:
        """Ask those that are due; forget those that do not run."""
        now = time.time()
        with self._guard:
            running = {name for name in containers if name in found and found[name].running}
            self._known = {name: checked for name, checked in self._known.items() if name in running}
            due = []
            for name in running:
                life = (found[name].id, found[name].started_at)
                if name not in self._known or self._known[name].life != life:
                    self._known[name] = Checked(life, well=None if containers[name].health else True)
                checked = self._known[name]
                if containers[name].health is None or name in self._asking or now < checked.due_at:
                    continue
                if may_ask(containers[name], self._known, found):
                    due.append(containers[name])
            self._asking |= {container.name for container in due}
        for container in due:
            life = (found[container.name].id, found[container.name].started_at)
            threading.Thread(target=self._one, args=(container, life), daemon=True).start()

    def _one(self, container: Container, life: tuple[str, float]) -> None:
        answer = None
        try:
            answer = self._ask(container)
        finally:
            assert container.health is not None
            with self._guard:
                self._asking.discard(container.name)
                before = self._known.get(container.name)
                changed = False
                if before is not None and before.life == life:
                    now = time.time()
                    later = replace(before, due_at=now + container.health.interval_s)
                    next_ = after(before, answer, container.health, life[1], now) if answer else later
                    changed = next_.well != before.well
                    self._known[container.name] = next_
            if changed:
                self._wake()
