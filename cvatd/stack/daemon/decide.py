"""What to mend, and what to leave alone. Pure: from what is seen and what was done before, the acts and the words.

It mends and never fights: what a person stopped stays so, and what dies again and again is given up, in words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from cvatd.core.words import duration

Verb = Literal["start", "restart", "record_stopped", "record_wanted"]
MENDING = frozenset({"start", "restart"})
ENDED = frozenset({"exited", "stopped"})


@dataclass(frozen=True)
class Policy:
    """`pause` grows twofold from the first to the longest; `settle_s` is for Podman to tell all of an end."""

    first_pause_s: float = 2.0
    longest_pause_s: float = 300.0
    ceiling: int = 10
    window_s: float = 3600.0
    well_s: float = 300.0
    settle_s: float = 2.0
    systemd_s: float = 30.0

    def pause_s(self, level: int) -> float:
        """After the `level`-th restart in a row; none before the first."""
        if level <= 0:
            return 0.0
        return min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(level - 1, 32))


@dataclass(frozen=True)
class History:
    """What was done for one container. Times are Unix seconds; `level` counts restarts without a good time between."""

    restarts: tuple[float, ...] = ()
    level: int = 0
    well_since: float | None = None
    given_up: bool = False


@dataclass(frozen=True)
class Seen:
    """One container now. `state` is Podman's word or "absent"; `since` the moment of its last event.

    `well` is None where it is not known yet; `words` say what is wrong. `unit` is the systemd unit that owns it.
    """

    name: str
    state: str
    since: float
    well: bool | None = None
    words: str = ""
    needs: tuple[str, ...] = ()
    waits_for_init: bool = False
    ended_by: str | None = None
    unit: str | None = None
    unit_state: str = ""


@dataclass(frozen=True)
class Sight:
    """The whole stack now. `held`: another cvatd changes it; `initialising`: cvat-init runs."""

    up: bool
    stopped: frozenset[str] = frozenset()
    held: bool = False
    initialising: bool = False
    containers: tuple[Seen, ...] = ()


@dataclass(frozen=True)
class Action:
    verb: Verb
    container: str
    reason: str
    unit: str | None = None


@dataclass(frozen=True)
class Decision:
    """`says` is a sentence for each container about which there is something to say."""

    actions: list[Action] = field(default_factory=list)
    histories: dict[str, History] = field(default_factory=dict)
    says: dict[str, str] = field(default_factory=dict)


def decide(histories: Mapping[str, History], sight: Sight, now: float, policy: Policy) -> Decision:
    """One look's worth of acts, at most one a container."""
    if sight.held:
        # A person is at it: whatever was given up gets a fresh chance from what they do.
        return Decision(says={seen.name: "another cvatd command is at work" for seen in sight.containers})
    decision = Decision()
    by_name = {seen.name: seen for seen in sight.containers}
    for seen in sight.containers:
        history = _age(histories.get(seen.name, History()), seen, now, policy)
        verb, words = _wish(seen, sight, by_name, now, policy)
        if verb in MENDING:
            history, allowed, words = _allow(history, seen, words, now, policy)
            verb = verb if allowed else None
        if verb:
            decision.actions.append(Action(verb, seen.name, words, seen.unit))
        if words:
            decision.says[seen.name] = words
        decision.histories[seen.name] = history
    return decision


def _age(history: History, seen: Seen, now: float, policy: Policy) -> History:
    """Forget what lies before the window, and the pauses after a good time."""
    restarts = tuple(at for at in history.restarts if 0 <= now - at < policy.window_s)
    if not (seen.state == "running" and seen.well):
        return replace(history, restarts=restarts, well_since=None)
    since = history.well_since if history.well_since is not None else now
    if now - since >= policy.well_s:
        return History(restarts, well_since=since)
    return replace(history, restarts=restarts, well_since=since)


def _wish(seen: Seen, sight: Sight, others: Mapping[str, Seen], now: float, policy: Policy) -> tuple[Verb | None, str]:
    """What should be done if it was never done before, and why."""
    if seen.unit is not None:
        return _wish_of_unit(seen, now, policy)
    if not sight.up:
        return None, ""
    running = seen.state == "running"
    if seen.name in sight.stopped:
        return ("record_wanted", "started by hand") if running else (None, "stopped by hand")
    settled = now - seen.since >= policy.settle_s
    if seen.ended_by and (seen.state in ENDED or seen.state == "absent"):
        return "record_stopped" if settled else None, seen.ended_by
    if seen.state == "absent":
        return None, "is not there: `cvatd up` makes it"
    if seen.state == "created":
        return None, "was never started: `cvatd up` finishes the work"
    if seen.state == "paused":
        return None, f"paused by hand: podman unpause {seen.name}"
    verb, words = _fault(seen)
    if verb is None or not settled:
        return None, words
    if seen.waits_for_init and sight.initialising:
        return None, f"{words}; waits for init"
    waits = [need for need in seen.needs if need in others and not _serves(others[need])]
    return (None, f"{words}; waits for {', '.join(waits)}") if waits else (verb, words)


def _wish_of_unit(seen: Seen, now: float, policy: Policy) -> tuple[Verb | None, str]:
    """systemd owns it: its unit's state is the wish, and only systemd is asked."""
    if seen.unit_state == "failed":
        return "start", f"its unit {seen.unit} failed"
    if seen.unit_state != "active":
        return None, f"its unit {seen.unit} is {seen.unit_state or 'not known'}"
    verb, words = _fault(seen)
    patient_s = policy.settle_s if seen.state == "running" else policy.systemd_s
    if seen.state == "absent":
        verb, words = "restart", "is not there"
    # A start of an active unit does nothing.
    return ("restart", words) if verb and now - seen.since >= patient_s else (None, words)


def _fault(seen: Seen) -> tuple[Verb | None, str]:
    if seen.state in ENDED:
        return "start", seen.words or "ended by itself"
    if seen.state == "running" and seen.well is False:
        return "restart", f"unhealthy: {seen.words}" if seen.words else "unhealthy"
    return None, "" if seen.state == "running" else f"is {seen.state}"


def _serves(need: Seen) -> bool:
    return need.state == "running" and bool(need.well)


def _allow(history: History, seen: Seen, reason: str, now: float, policy: Policy) -> tuple[History, bool, str]:
    """Whether it may be mended now, and what is said of it."""
    if history.given_up or len(history.restarts) >= policy.ceiling:
        return replace(history, given_up=True), False, _given_up(history, seen, reason, policy)
    last = history.restarts[-1] if history.restarts else None
    wait_s = 0.0 if last is None else last + policy.pause_s(history.level) - now
    if wait_s > 0:
        return history, False, f"{reason}; tried again in {duration(wait_s + 1)}"
    return History((*history.restarts, now), history.level + 1), True, reason


def _given_up(history: History, seen: Seen, reason: str, policy: Policy) -> str:
    restart = f"systemctl restart {seen.unit}" if seen.unit else "cvatd restart"
    count, window = policy.ceiling, duration(policy.window_s)
    return f"given up after {count} restarts within {window}: {reason}. `{restart}` tries again"
