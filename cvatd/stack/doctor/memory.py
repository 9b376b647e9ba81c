"""Limits: set as declared, wide enough, and holding every process. Pure."""

from cvatd.core import words
from cvatd.core.settings import WorkerSettings
from cvatd.stack import health, releases, render
from cvatd.stack.doctor.check import Check, Finding, Unknown
from cvatd.stack.doctor.evidence import Evidence, known
from cvatd.stack.doctor.mends import set_limits
from cvatd.stack.limits import Usage

NEARLY_FULL_PERCENT = 95
PAGE_BYTES = 1 << 16
SHOWN_STRAYS = 5
RAISE = "raise stack.limits.memory_max, or use fewer or smaller workers"


def limits(seen: Evidence) -> Finding | None:
    usage, wanted = _usage(seen), seen.settings.limits
    wrong = []
    if not _close(usage.memory_max, wanted.memory_max):
        wrong.append(f"most memory: {_memory(usage.memory_max)}, declared {_memory(wanted.memory_max)}")
    if not _close(usage.memory_high, wanted.memory_high):
        wrong.append(
            f"memory before it is slowed down: {_memory(usage.memory_high)}, declared {_memory(wanted.memory_high)}"
        )
    if usage.cpu_percent != wanted.cpu_percent:
        now = f"{usage.cpu_percent} %" if usage.cpu_percent else "none"
        wrong.append(f"processor: {now}, declared {wanted.cpu_percent} %")
    if not wrong:
        return None
    return Finding(f"The limits of {seen.settings.slice} are other than declared.", "cvatd doctor --fix limits", wrong)


def strays(seen: Evidence) -> Finding | None:
    found = known(seen.strays)
    if not found:
        return None
    names = sorted({stray.container for stray in found})
    shown = [f"process {stray.pid} of {stray.container} is in {stray.cgroup}" for stray in found[:SHOWN_STRAYS]]
    return Finding(
        f"{len(found)} processes are outside of the slice, so that no limit holds them.",
        f"cvatd down && cvatd up (made anew: {', '.join(names)})",
        shown + [f"and {len(found) - SHOWN_STRAYS} more"] * (len(found) > SHOWN_STRAYS),
    )


def pressure(seen: Evidence) -> Finding | None:
    usage = _usage(seen)
    percent = round(100 * usage.memory / usage.memory_max) if usage.memory_max else 0
    if not usage.under_pressure and percent < NEARLY_FULL_PERCENT:
        return None
    return Finding(
        "The stack is short of memory: everything in it is slow, and the kernel may kill.",
        RAISE,
        [f"{_memory(usage.memory)} of {_memory(usage.memory_max)} used ({percent} %)"],
    )


def oom_kills(seen: Evidence) -> Finding | None:
    usage, evidence = known(seen.usage), []
    if usage is not None and usage.oom_kills:
        evidence.append(f"the slice counts {usage.oom_kills} kills")
    for name, found in known(seen.found).items():
        details = known(seen.details).get(name)
        killed = health.killed_for_memory(found.exit_code, details is not None and details.oom_killed, usage)
        if found.ours and not found.running and killed is not False:
            doubt = "" if killed else ": for that, or by somebody's hand"
            evidence.append(f"{name} ended with status {found.exit_code}{doubt}")
    if not evidence:
        return None
    return Finding("The kernel has killed processes of the stack for want of memory.", RAISE, evidence)


def idle_budget(seen: Evidence) -> Finding | None:
    workers = [
        WorkerSettings(queues=container.queues, processes=container.processes)
        for container in seen.stack.containers
        if container.queues
    ]
    release = releases.find(seen.stack.version)
    idle = render.idle_bytes(release, workers, seen.settings.server_processes)
    if idle <= seen.settings.limits.memory_max:
        return None
    return Finding(
        "The limit of memory is below what CVAT occupies when nobody uses it.",
        RAISE,
        [f"stack.limits.memory_max is {_memory(seen.settings.limits.memory_max)}; idle it takes about {_memory(idle)}"],
    )


def _usage(seen: Evidence) -> Usage:
    usage = known(seen.usage)
    if usage is None:
        raise Unknown("nothing runs in the slice")
    return usage


def _close(now: int | None, wanted: int) -> bool:
    """The kernel rounds to pages."""
    return now is not None and abs(now - wanted) <= PAGE_BYTES


def _memory(count: int | None) -> str:
    return "no limit" if count is None else words.memory(count)


CHECKS = [
    Check("limits", "the slice has other limits than declared", "`cvatd doctor --fix limits`", limits, set_limits),
    Check("strays", "processes of containers are outside of the slice", "`cvatd down && cvatd up`", strays),
    Check("pressure", "the slice is above 95 % of its memory, or waits for memory", "more memory", pressure),
    Check("oom-kills", "the kernel killed for want of memory", "more memory, fewer workers", oom_kills),
    Check("idle-budget", "the limit is below what an idle CVAT occupies", "a higher limit", idle_budget),
]
