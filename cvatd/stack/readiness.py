"""Is CVAT ready, and if not, for want of what? Pure: from facts to sentences.

Ready is: CVAT's health is 200, nothing is unmigrated, and every queue has its workers. An open port proves nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cvatd.stack.facts import DatabaseFacts, Facts, RedisFacts
from cvatd.stack.podman import Found
from cvatd.stack.spec import Container, Stack

Initialised = Literal["done", "unmigrated", "no_database", "unknown"]


@dataclass(frozen=True)
class InitState:
    """Whether `init` has anything to do, in words.

    `redis_emptied`: the database was initialised and Redis knows of nothing, so workers that run are not in it either.
    """

    state: Initialised
    words: str
    redis_emptied: bool = False

    @property
    def needed(self) -> bool:
        return self.state == "unmigrated"


def init_state(
    database: DatabaseFacts, redis: RedisFacts, required: set[str] | None, image_id: str | None, superuser: str
) -> InitState:
    """`required` are the image's migrations, None when they are not known here."""
    if database.fault == "away":
        return InitState("unknown", f"the database cannot be asked: {database.words}")
    if database.fault == "refused":
        return InitState("no_database", f"the database does not let CVAT in: {database.words}")
    if database.fault:
        return InitState("no_database", f"there is no database: {database.words}")
    if database.migrations is None:
        return InitState("unmigrated", "the database is empty")
    if required is None:
        return InitState("unmigrated", "this image was not initialised on this host yet")
    missing = required - database.migrations
    if missing:
        names = ", ".join(sorted(missing)[:3])
        return InitState(
            "unmigrated", f"{len(missing)} migrations are not applied ({names}{', …' * (len(missing) > 3)})"
        )
    if redis.fault:
        return InitState("unknown", f"the queues cannot be asked: {redis.fault}")
    if redis.mark != image_id:
        words = "Redis does not remember this image's init (it was emptied, or is new)"
        return InitState("unmigrated", words, redis_emptied=not redis.mark)
    if superuser not in database.superusers:
        return InitState("unmigrated", f"there is no superuser {superuser!r}")
    return InitState("done", "nothing to do")


def lacking_workers(containers: list[Container], redis: RedisFacts) -> dict[str, str]:
    """Queue -> what its workers lack; empty when each has the processes that were declared."""
    lacking = {}
    alive = [worker for worker in redis.workers if worker.alive]
    for container in containers:
        for queue in container.queues:
            count = sum(queue in worker.queues and worker.hostname == container.name for worker in alive)
            if count < container.processes:
                lacking[queue] = f"{count} of {container.processes} workers of {container.name} listen to {queue}"
    return lacking


def not_running(stack: Stack, found: Mapping[str, Found]) -> list[str]:
    """Containers that are declared and do not run, with what Podman says of them."""
    words = []
    for name in stack.names:
        container = found.get(name)
        if container is None:
            words.append(f"{name} is not there")
        elif not container.running:
            words.append(f"{name} is {container.state} (status {container.exit_code})")
    return words


def ended(stack: Stack, found: Mapping[str, Found]) -> list[str]:
    """Containers that are declared, ran, and run no more."""
    return [name for name in stack.names if name in found and found[name].state in {"exited", "stopped"}]


def why_not_ready(stack: Stack, facts: Facts, init: InitState) -> list[str]:
    """Sentences; empty when CVAT is ready."""
    reasons = not_running(stack, facts.found)
    if init.state != "done":
        reasons.append(f"init is needed: {init.words}" if init.needed else init.words)
    if facts.http.fault:
        reasons.append(facts.http.fault)
    elif facts.http.status != 200:
        unwell = "; ".join(f"{name}: {words}" for name, words in sorted(facts.http.unwell.items()))
        reasons.append(f"CVAT's health is {facts.http.status}{f' ({unwell})' if unwell else ''}")
    if not facts.http.fault and facts.http.ui_status != 200:
        reasons.append(f"CVAT's pages answer with {facts.http.ui_status}")
    if facts.redis.fault:
        reasons.append(f"the queues cannot be asked: {facts.redis.fault}")
    else:
        reasons += lacking_workers(stack.containers, facts.redis).values()
    return reasons
