"""How CVAT is doing, in one answer: what the daemon serves and `cvatd status` shows.

No container's own check is run for it: an exec each costs more than all else together. What the database, the queues
and the pages answer tells of every container; `cvatd ps` and the daemon run the checks.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cvatd.core.settings import StackSettings
from cvatd.stack import facts, readiness, releases, starting, versions, wishes
from cvatd.stack.facts import Facts
from cvatd.stack.limits import Parent
from cvatd.stack.podman import Found, Podman
from cvatd.stack.spec import INIT_CONTAINER, Container, Stack
from cvatd.stack.status_model import (
    ContainerStatus,
    DiskStatus,
    Health,
    InitStatus,
    QueueStatus,
    Status,
    UsageStatus,
    VersionsStatus,
    WorkerStatus,
)

__all__ = ["Status", "gather"]

CACHE_CHECKS = ("Cache backend: media", "media")
OPA_CHECK = "OPAHealthCheck"


def gather(
    podman: Podman,
    settings: StackSettings,
    parent: Callable[[], Parent],
    stack: Stack,
    restarts: Mapping[str, int] | None = None,
) -> Status:
    """Everything, asked side by side. `restarts` are counted by the daemon. Raises CvatdError "podman" alone.

    `parent` is asked for last: Podman takes as long to tell of its host as all else.
    """
    with ThreadPoolExecutor(1) as pool:
        image = pool.submit(podman.image_id, stack.container("cvat-server").image)
        seen = facts.gather(podman, settings)
        image_id = image.result()
    required = versions.migrations_of(settings, image_id) if image_id else None
    init = readiness.init_state(seen.database, seen.redis, required, image_id, settings.superuser.username)
    wanted = wishes.read(settings)
    return Status(
        data_dir=settings.data_dir,
        at=time.time(),
        url=address(settings),
        ready=not (reasons := why_not_ready(stack, seen, init, settings)),
        wanted=wanted.up,
        reasons=reasons,
        containers=_containers(stack, seen, wanted.stopped, restarts),
        versions=VersionsStatus(
            cvat=stack.version,
            data=versions.data_version(settings),
            postgres=_first_word(seen.database.version),
            redis=seen.redis.info.get("redis_version"),
        ),
        initialised=InitStatus(state=init.state, words=init.words),
        queues=queues(stack, seen.redis),
        queues_fault=seen.redis.fault,
        workers=[_worker(worker) for worker in seen.redis.workers],
        usage=_usage(parent()),
        disk=disk(settings.data_dir),
        warnings=[*stack.warnings, *initial_password_warning(settings, seen.database)],
    )


def why_not_ready(stack: Stack, seen: Facts, init: readiness.InitState, settings: StackSettings) -> list[str]:
    """As readiness has it; where nothing runs at all that one sentence says it."""
    if not any(name in seen.found and seen.found[name].running for name in stack.names):
        return [f"no container runs; `{starting.all_of_them(settings)}` starts CVAT"]
    return readiness.why_not_ready(stack, seen, init)


def health_of(container: Container, seen: Facts) -> tuple[Health, str]:
    """What the answers of the whole tell of one container that runs, and in which words."""
    name = container.name
    if container.queues:
        return _worker_health(container, seen)
    if name == facts.DATABASE:
        return ("unhealthy", seen.database.words) if seen.database.fault == "away" else ("healthy", "")
    if name == facts.REDIS:
        return ("unhealthy", seen.redis.fault) if seen.redis.fault else ("healthy", "")
    if name == "cvat-proxy":
        return ("unhealthy", seen.http.fault) if seen.http.fault else ("healthy", "")
    if seen.http.fault:
        return "unknown", ""
    if name == "cvat-ui":
        status = seen.http.ui_status
        return ("healthy", "") if status == 200 else ("unhealthy", f"its pages answer with {status}")
    if name == "cvat-server":
        return _server_health(seen)
    if name == "cvat-opa":
        return _checked(seen, (OPA_CHECK,))
    return _checked(seen, CACHE_CHECKS) if name == "cvat-kvrocks" else ("unknown", "")


def queues(stack: Stack, redis: facts.RedisFacts) -> list[QueueStatus]:
    """Every queue of the release and those that CVAT has besides, in the order of their containers."""
    container_of = {queue: container.name for container in stack.containers for queue in container.queues}
    lacking = {} if redis.fault else readiness.lacking_workers(stack.containers, redis)
    alive = [worker for worker in redis.workers if worker.alive]
    none = facts.Queue(0, 0, 0)
    return [
        QueueStatus(
            name=name,
            container=container_of.get(name),
            queued=(queue := redis.queues.get(name, none)).queued,
            started=queue.started,
            failed=queue.failed,
            workers=sum(name in worker.queues for worker in alive),
            lacks=lacking.get(name, ""),
        )
        for name in [*container_of, *sorted(redis.queues.keys() - container_of.keys())]
    ]


def initial_password_warning(settings: StackSettings, database: facts.DatabaseFacts) -> list[str]:
    """Where the settings told the first password, until somebody changes it in CVAT."""
    if not initial_password_in_force(settings, versions.initial_superuser(settings), database):
        return []
    user = settings.superuser.username
    return [f"The superuser {user!r} still has the initial password: `cvatd secrets rotate superuser` changes it."]


def initial_password_in_force(settings: StackSettings, made: Mapping[str, str], database: facts.DatabaseFacts) -> bool:
    """`made` is what was recorded when `init` made the superuser. Pure."""
    user = settings.superuser.username
    if settings.superuser.initial_password is None or made.get("username") != user:
        return False
    return database.superusers.get(user) == made.get("mark")


def address(settings: StackSettings) -> str:
    """Where people find CVAT."""
    return settings.public_url or settings.local_url


def disk(folder: Path) -> DiskStatus | None:
    """None where the folder is not there."""
    try:
        found = shutil.disk_usage(folder)
    except OSError:
        return None
    usable = found.used + found.free  # what is kept for root is neither, and CVAT counts so too
    return DiskStatus(total=found.total, free=found.free, used_percent=round(100 * found.used / max(1, usable), 1))


def _containers(
    stack: Stack, seen: Facts, stopped: Iterable[str], restarts: Mapping[str, int] | None
) -> list[ContainerStatus]:
    by_hand = set(stopped)
    shown = [_container(container, seen, container.name in by_hand, restarts) for container in stack.containers]
    others = [found for name, found in sorted(seen.found.items()) if found.ours and name not in stack.names]
    # A container that migrated the database and ended well has nothing more to say.
    return shown + [_other(found) for found in others if not (found.name == INIT_CONTAINER and _ended_well(found))]


def _container(container: Container, seen: Facts, by_hand: bool, restarts: Mapping[str, int] | None) -> ContainerStatus:
    found = seen.found.get(container.name)
    health, words = health_of(container, seen) if found and found.running else ("unknown", "")
    return ContainerStatus(
        name=container.name,
        state=found.state if found else "absent",
        health=health,
        words=words,
        since=_since(found),
        restarts=None if restarts is None else restarts.get(container.name, 0),
        image=found.image if found else container.image,
        version=image_version(found.image if found else container.image),
        exit_code=found.exit_code if found and not found.running else None,
        stopped_by_hand=by_hand,
    )


def _other(found: Found) -> ContainerStatus:
    """One of ours that is declared no more, or works once."""
    return ContainerStatus(
        name=found.name,
        state=found.state,
        health="unknown",
        words="",
        since=_since(found),
        restarts=None,
        image=found.image,
        version=image_version(found.image),
        exit_code=None if found.running else found.exit_code,
        stopped_by_hand=False,
    )


def _first_word(text: str | None) -> str | None:
    """`15.4` of `15.4 (Debian ...)`."""
    return text.split()[0] if text else None


def image_version(image: str) -> str | None:
    """The release that the tag names, else the tag."""
    name = image.rpartition("/")[2].partition("@")[0]
    return releases.version_of_image(image) or name.partition(":")[2] or None


def _ended_well(found: Found) -> bool:
    return found.state == "exited" and found.exit_code == 0


def _since(found: Found | None) -> float | None:
    if found is None:
        return None
    return (found.started_at if found.running else found.exited_at) or None


def _server_health(seen: Facts) -> tuple[Health, str]:
    status = seen.http.status
    if status in {502, 503, 504}:
        return "unhealthy", f"it does not answer the proxy ({status})"
    unwell = "; ".join(f"{name}: {words}" for name, words in sorted(seen.http.unwell.items()))
    return ("healthy", "") if status == 200 else ("unhealthy", f"health {status}{f': {unwell}' if unwell else ''}")


def _worker_health(container: Container, seen: Facts) -> tuple[Health, str]:
    if seen.redis.fault:
        return "unknown", ""
    lacking = readiness.lacking_workers([container], seen.redis)
    return ("unhealthy", next(iter(lacking.values()))) if lacking else ("healthy", "")


def _checked(seen: Facts, names: tuple[str, ...]) -> tuple[Health, str]:
    """By the check of that name in CVAT's own health."""
    for name in names:
        if name in seen.http.checks:
            words = seen.http.checks[name]
            return ("healthy", "") if words == facts.HEALTHY_WORDS else ("unhealthy", words)
    return "unknown", ""


def _worker(worker: facts.Worker) -> WorkerStatus:
    silent_s = round(worker.silent_s, 1) if worker.silent_s != float("inf") else None
    return WorkerStatus(hostname=worker.hostname, queues=worker.queues, state=worker.state, silent_s=silent_s)


def _usage(parent: Parent) -> UsageStatus | None:
    if (usage := parent.usage()) is None:
        return None
    return UsageStatus(
        parent=parent.argument,
        memory=usage.memory,
        memory_max=usage.memory_max,
        memory_high=usage.memory_high,
        memory_percent=round(100 * usage.memory / usage.memory_max) if usage.memory_max else None,
        cpu_s=round(usage.cpu_s, 2),
        cpu_limit_percent=usage.cpu_percent,
        oom_kills=usage.oom_kills,
        under_pressure=usage.under_pressure,
    )
