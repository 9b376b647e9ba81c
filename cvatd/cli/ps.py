"""What `cvatd ps` shows: the containers that are declared, and those of ours that are declared no more."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cvatd.cli.output import short_image
from cvatd.core import words
from cvatd.stack import health
from cvatd.stack.health import Answer
from cvatd.stack.podman import Found, Podman
from cvatd.stack.spec import Stack


@dataclass(frozen=True)
class Seen:
    """`found` is None for one that is not there, `health` for one that has no check or does not run."""

    name: str
    image: str
    found: Found | None
    health: Answer | None


def ask(podman: Podman, stack: Stack) -> list[Seen]:
    """All checks side by side. Raises CvatdError "podman"."""
    found = podman.containers()
    others = [name for name, container in sorted(found.items()) if container.ours and name not in stack.names]
    if not found.keys() & set(stack.names) and not others:
        return []

    def check(name: str) -> Answer | None:
        container = stack.container(name)
        runs = name in found and found[name].running
        return health.probe(podman, container) if runs and container.health else None

    with ThreadPoolExecutor(len(stack.names)) as pool:
        answers = dict(zip(stack.names, pool.map(check, stack.names), strict=True))
    declared = [Seen(name, stack.container(name).image, found.get(name), answers[name]) for name in stack.names]
    return declared + [Seen(name, found[name].image, found[name], None) for name in others]


def row(seen: Seen, now: float | None = None) -> list[str]:
    """container, state, health, since, image."""
    now = time.time() if now is None else now
    image = short_image(seen.image)
    if seen.found is None:
        return [seen.name, "not there", "", "", image]
    state = seen.found.state
    if not seen.found.running:
        moment = seen.found.exited_at
        state = f"{state} ({seen.found.exit_code})"
    else:
        moment = seen.found.started_at
    since = words.duration(now - moment) if moment > 0 else ""
    return [seen.name, state, _health(seen.health), since, image]


def row_json(seen: Seen) -> dict[str, Any]:
    found = seen.found
    return {
        "name": seen.name,
        "state": found.state if found else "absent",
        "health": None if seen.health is None else "healthy" if seen.health.well else "unhealthy",
        "words": seen.health.words if seen.health else "",
        "id": found.id if found else None,
        "image": found.image if found else seen.image,
        "started_at": found.started_at if found and found.started_at > 0 else None,
        "exit_code": found.exit_code if found and not found.running else None,
    }


def _health(answer: Answer | None) -> str:
    return "" if answer is None else "healthy" if answer.well else "unhealthy"
