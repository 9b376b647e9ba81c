"""Containers: whether they run, as declared, and stay up. Pure."""

from cvatd.core import words
from cvatd.stack.doctor.check import Check, Finding
from cvatd.stack.doctor.evidence import Evidence, known
from cvatd.stack.plan import differences
from cvatd.stack.spec import INIT_CONTAINER
from cvatd.stack.status import health_of

MANY_RESTARTS = 3
LAST_LINES = 5
LOG_BYTES = 500_000_000
PAUSED = "paused"


def down(seen: Evidence) -> Finding | None:
    if seen.up:
        return None
    if seen.wishes.up:
        return Finding("Nothing of CVAT runs, though it should.", "cvatd up")
    return Finding("Nothing of CVAT runs, and nobody asked for it since it was down last.", "cvatd up", urgent=False)


def running(seen: Evidence) -> Finding | None:
    if not seen.up:
        return None  # told by `down`
    ended = []
    for name in seen.stack.names:
        found = known(seen.found).get(name)
        if name in seen.wishes.stopped or (found is not None and (found.running or found.state == PAUSED)):
            continue
        ended.append(f"{name} is not there" if found is None else f"{name} is {found.state} (status {found.exit_code})")
        ended += [f"  {line}" for line in seen.last_lines(name)[-LAST_LINES:]]
    if not ended:
        return None
    count = sum(not line.startswith(" ") for line in ended)
    return Finding("A container does not run." if count == 1 else f"{count} containers do not run.", "cvatd up", ended)


def stopped(seen: Evidence) -> Finding | None:
    if not seen.up:
        return None
    names = [name for name in seen.stack.names if name in seen.wishes.stopped and not seen.runs(name)]
    if not names:
        return None
    return Finding(
        f"Stopped by hand, and kept so: {', '.join(names)}.",
        f"cvatd restart {' '.join(names)}",
        urgent=False,
    )


def paused(seen: Evidence) -> Finding | None:
    names = [name for name in seen.stack.names if (f := known(seen.found).get(name)) and f.state == PAUSED]
    if not names:
        return None
    return Finding(f"Paused, so that all who ask them wait: {', '.join(names)}.", f"podman unpause {' '.join(names)}")


def unhealthy(seen: Evidence) -> Finding | None:
    facts = known(seen.facts)
    sick = []
    for container in seen.stack.containers:
        if seen.runs(container.name):
            health, said = health_of(container, facts)
            if health == "unhealthy":
                sick.append(f"{container.name}: {said}")
    if not sick:
        return None
    names = " ".join(line.partition(":")[0] for line in sick)
    return Finding(f"{_containers(len(sick))} not well.", f"cvatd logs {names}; cvatd restart {names}", sick)


def restarts(seen: Evidence) -> Finding | None:
    details = known(seen.details)
    counts = {
        name: max(seen.restarts.get(name, 0), details[name].restarts if name in details else 0)
        for name in seen.stack.names
    }
    often = {name: count for name, count in counts.items() if count >= MANY_RESTARTS}
    if not often:
        return None
    evidence = []
    for name, count in often.items():
        evidence.append(f"{name} was restarted {count} times")
        evidence += [f"  {line}" for line in seen.last_lines(name)[-LAST_LINES:]]
    return Finding("Containers end again and again.", f"cvatd logs {next(iter(often))}", evidence)


def stale(seen: Evidence) -> Finding | None:
    different = {}
    for container in seen.stack.containers:
        found = known(seen.found).get(container.name)
        if found is not None and found.ours and (reasons := differences(found.spec, container, seen.passwords)):
            different[container.name] = reasons
    if not different:
        return None
    return Finding(
        f"Made from another declaration than today's: {', '.join(different)}.",
        "cvatd plan, then cvatd up",
        [f"{name}: {reason}" for name, reasons in different.items() for reason in reasons],
        urgent=False,
    )


def foreign(seen: Evidence) -> Finding | None:
    found = known(seen.found)
    names = [name for name in seen.stack.names if name in found and not found[name].ours]
    names = [name for name in names if not found[name].systemd_unit]  # the host's own declaration made these
    if not names:
        return None
    return Finding(
        f"Containers of somebody else have names that CVAT needs: {', '.join(names)}.",
        f"podman rename {names[0]} {names[0]}-old (or podman rm), then cvatd up",
        [f"{name} runs {found[name].image}" for name in names],
    )


def undeclared(seen: Evidence) -> Finding | None:
    names = [
        name
        for name, found in sorted(known(seen.found).items())
        if found.ours and name not in seen.stack.names and name != INIT_CONTAINER
    ]
    if not names:
        return None
    return Finding(f"Declared no more and still there: {', '.join(names)}.", "cvatd up", urgent=False)


def init_failed(seen: Evidence) -> Finding | None:
    found = known(seen.found).get(INIT_CONTAINER)
    if found is None or found.running or found.exit_code == 0 or found.state == "created":
        return None
    ago = words.duration(seen.now - found.exited_at)
    return Finding(
        f"The last init failed with status {found.exit_code}, {ago} ago.",
        "cvatd init",
        seen.last_lines(INIT_CONTAINER)[-10:],
    )


def container_logs(seen: Evidence) -> Finding | None:
    large = {name: one.log_bytes for name, one in known(seen.details).items() if one.log_bytes > LOG_BYTES}
    if not large:
        return None
    return Finding(
        f"Logs of containers have grown large: {', '.join(large)}.",
        "cvatd up makes containers with bounded logs; podman rm the others",
        [f"{name}: {words.size(size)}" for name, size in large.items()],
        urgent=False,
    )


def _containers(count: int) -> str:
    return "A container is" if count == 1 else f"{count} containers are"


CHECKS = [
    Check("down", "nothing of CVAT runs (and whether that was asked for)", "`cvatd up`", down),
    Check("running", "a declared container does not run; its last lines", "`cvatd up`", running),
    Check(
        "stopped", "a container was stopped by hand; it is never started against that", "`cvatd restart NAME`", stopped
    ),
    Check("paused", "a container is paused", "`podman unpause NAME`", paused),
    Check("unhealthy", "a container runs and is not well, in CVAT's own words", "`cvatd restart NAME`", unhealthy),
    Check("restarts", "a container was restarted three times or more", "its last lines say why", restarts),
    Check("stale", "a container was made from another declaration than today's", "`cvatd up`", stale),
    Check("foreign", "somebody else's container has a name of the stack", "rename or remove it", foreign),
    Check("undeclared", "a container of ours is declared no more", "`cvatd up`", undeclared),
    Check("init-failed", "the last init failed; its last lines", "`cvatd init`", init_failed),
    Check("container-logs", "a container's log is above 500 MB", "`cvatd up`", container_logs),
]
