"""Who ended a container: a person, or the container itself? Pure: from what Podman told to a reason in words.

Podman 4.3 tells `kill` for `podman kill` alone, and a `stop` only when nobody was faster to clean up. What always
tells `podman stop` from a death is that two clean up after it: the command itself and conmon's own helper. Exit
codes say nothing: 137 is a stop that ran out of patience, a want of memory, and a `kill -9` alike.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

BEGINS = frozenset({"create", "start", "restart"})
TOLD = ("create", "start", "restart", "kill", "stop", "died", "cleanup", "remove", "pause", "unpause")
# `podman kill` may send any signal: it ended the container only if that died soon after.
KILL_TO_DEATH_S = 60.0
STOPPED, KILLED, REMOVED = "stopped by hand", "killed by hand", "removed by hand"


@dataclass(frozen=True)
class Notice:
    """One event of a container. `at` is in Unix seconds."""

    at: float
    name: str
    action: str


@dataclass(frozen=True)
class Span:
    """A time in which cvatd itself changed the stack, or one container of it; its acts are nobody's wish."""

    begin: float
    end: float
    container: str | None = None

    def holds(self, notice: Notice) -> bool:
        return self.begin <= notice.at <= self.end and self.container in {None, notice.name}


def by_hand(notices: Iterable[Notice], own: Sequence[Span]) -> str | None:
    """Of one container's notices: how a person ended its last life, None when nobody did (or it lives)."""
    life: list[Notice] = []
    for notice in sorted(notices, key=lambda notice: notice.at):
        if notice.action in BEGINS:
            life = []
        elif not any(span.holds(notice) for span in own):
            life.append(notice)
    actions = [notice.action for notice in life]
    if "remove" in actions:
        return REMOVED
    deaths = [notice.at for notice in life if notice.action == "died"]
    if not deaths:
        return None
    if any(notice.action == "kill" and 0 <= deaths[-1] - notice.at <= KILL_TO_DEATH_S for notice in life):
        return KILLED
    return STOPPED if "stop" in actions or actions.count("cleanup") >= 2 else None


def of_use(notices: Mapping[str, list[Notice]], names: Collection[str]) -> dict[str, list[Notice]]:
    """Without containers that are neither declared nor there, and without earlier lives."""
    return {name: forget_old(kept) for name, kept in notices.items() if name in names}


def forget_old(notices: Iterable[Notice]) -> list[Notice]:
    """Of one container: its last life and what came after."""
    ordered = sorted(notices, key=lambda notice: notice.at)
    begins = [place for place, notice in enumerate(ordered) if notice.action in BEGINS]
    return ordered[begins[-1] :] if begins else ordered
