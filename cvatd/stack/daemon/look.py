"""Puts together what is known of each container: Podman's list, its events, the checks' answers, systemd's word.

Pure.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from pydantic import ValidationError

from cvatd.stack.daemon import ends
from cvatd.stack.daemon.checks import Checked
from cvatd.stack.daemon.decide import ENDED, Seen, Sight
from cvatd.stack.daemon.ends import Notice, Span
from cvatd.stack.podman import Found
from cvatd.stack.spec import INIT_CONTAINER, Container, Stack
from cvatd.stack.wishes import Wishes


def declared(found: Mapping[str, Found], stack: Stack) -> dict[str, Container]:
    """Each container of the stack as it was made; as the settings have it now where it was not made by us.

    What runs counts: settings that were changed since are for `cvatd up`.
    """
    names = [name for name, container in found.items() if container.ours and name != INIT_CONTAINER]
    containers = {container.name: container for container in stack.containers}
    for name in names:
        made = _made(found[name].spec)
        if made is not None:
            containers[name] = made
    return containers


def sight(
    containers: Mapping[str, Container],
    found: Mapping[str, Found],
    checks: Mapping[str, Checked],
    lacking: Mapping[str, str],
    missing: Mapping[str, float],
    notices: Mapping[str, Sequence[Notice]],
    own: Sequence[Span],
    units: Mapping[str, str],
    unit_states: Mapping[str, str],
    wishes: Wishes,
    held: bool,
) -> Sight:
    """`lacking` are containers whose workers are not there, `missing` since when one is missed itself (Unix
    seconds); `units` say which unit owned a container when last seen.
    """
    seen = []
    for name, container in containers.items():
        there = found.get(name)
        unit = units.get(name)
        state = _state(there)
        last = max((notice.at for notice in notices.get(name, ())), default=0.0)
        well, words = _health(there, checks.get(name), lacking.get(name, ""))
        seen.append(
            Seen(
                name=name,
                state=state,
                since=max(last, _moment(there), missing.get(name, 0.0)),
                well=well,
                words=words,
                needs=tuple(container.needs),
                waits_for_init=container.initialised,
                ended_by=ends.by_hand(notices.get(name, ()), own),
                unit=unit,
                unit_state=unit_states.get(unit, "") if unit else "",
            )
        )
    init = found.get(INIT_CONTAINER)
    return Sight(wishes.up, wishes.stopped, held, init is not None and init.running, tuple(seen))


def missed(
    before: Mapping[str, float], absent: Iterable[str], units: Mapping[str, str], states: Mapping[str, str], now: float
) -> dict[str, float]:
    """Since when containers are missed (Unix seconds): they are not there, and their units say that they run.

    A container may be away for long before its unit is active, and that time does not count against it.
    """
    return {name: before.get(name, now) for name in absent if name not in units or states.get(units[name]) == "active"}


def _state(there: Found | None) -> str:
    """After a restart of the host Podman calls "created" what has run before."""
    if there is None:
        return "absent"
    return "exited" if there.state in {"created", "configured"} and there.started_at > 0 else there.state


def _health(there: Found | None, checked: Checked | None, lacking: str) -> tuple[bool | None, str]:
    if there is None:
        return None, ""
    if _state(there) in ENDED:
        return None, f"ended by itself with status {there.exit_code}"
    if checked is None:
        return None, ""
    return (False, lacking) if checked.well and lacking else (checked.well, checked.words)


def _moment(there: Found | None) -> float:
    if there is None:
        return 0.0
    return max(0.0, there.started_at if there.running else there.exited_at)


def _made(spec: str | None) -> Container | None:
    try:
        return Container.model_validate(json.loads(spec)) if spec else None
    except (ValueError, ValidationError):
        return None  # by another version of cvatd
