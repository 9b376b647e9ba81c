"""What `cvatd status` says, from the answer to lines and rows. Pure but for the drawing."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvatd.cli.output import short_image
from cvatd.core import words
from cvatd.stack.status_model import ContainerStatus, Status

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

NAME_WIDTH = 12
FULL_PERCENT = 90
GOOD = {"healthy"}
Rows = tuple[list[str], list[list[str]]]


@dataclass(frozen=True)
class Rate:
    """What happened between two looks: processor time in percent of one processor."""

    cpu_percent: float


def rate(before: Status | None, now: Status) -> Rate | None:
    if before is None or before.usage is None or now.usage is None or now.at <= before.at:
        return None
    spent_s = now.usage.cpu_s - before.usage.cpu_s
    return Rate(100 * spent_s / (now.at - before.at)) if spent_s >= 0 else None


def headline(seen: Status) -> str:
    if seen.ready:
        return f"CVAT is ready at {seen.url}"
    return f"CVAT is not ready: {seen.reasons[0]}"


def containers(seen: Status, now: float | None = None) -> Rows:
    now = time.time() if now is None else now
    heads = ["container", "state", "health", "since", "restarts", "image"]
    rows = [_container(container, now) for container in seen.containers]
    if any(container.restarts for container in seen.containers):
        return heads, rows
    at = heads.index("restarts")  # none, or nobody counts them
    return heads[:at] + heads[at + 1 :], [row[:at] + row[at + 1 :] for row in rows]


def queues(seen: Status) -> Rows:
    heads = ["queue", "waiting", "at work", "failed", "workers", "container"]
    rows = [
        [queue.name, *map(str, (queue.queued, queue.started, queue.failed, queue.workers)), queue.container or ""]
        for queue in seen.queues
    ]
    return heads, [] if seen.queues_fault else rows


def facts(seen: Status, spent: Rate | None = None) -> list[tuple[str, str]]:
    """(name, words) of what is one number or one sentence."""
    versions = seen.versions
    return [
        ("versions", f"CVAT {versions.cvat}, PostgreSQL {versions.postgres or '?'}, Redis {versions.redis or '?'}"),
        ("database", _database(seen)),
        *_usage(seen, spent),
        ("disk", _disk(seen)),
        *([("queues", f"cannot be asked: {seen.queues_fault}")] if seen.queues_fault else []),
    ]


def warnings(seen: Status) -> list[str]:
    found = list(seen.warnings)
    if seen.disk and seen.disk.used_percent > FULL_PERCENT:
        found.append(f"The disk is {seen.disk.used_percent} % full: CVAT locks people out above {FULL_PERCENT} %.")
    if seen.usage and seen.usage.oom_kills:
        found.append(f"The kernel has killed for want of memory {seen.usage.oom_kills} times: see `cvatd doctor`.")
    return found


def drawn(seen: Status, spent: Rate | None) -> "Group":
    """One picture for a terminal."""
    from rich.console import Group
    from rich.text import Text

    from cvatd.core.plain import plain_line

    lines = [f"{name:<{NAME_WIDTH}}{plain_line(text)}" for name, text in facts(seen, spent)]
    reasons = [f"  {plain_line(reason)}" for reason in seen.reasons[1:]]
    return Group(
        Text(plain_line(headline(seen)), style="green" if seen.ready else "red"),
        *map(Text, reasons),
        Text(),
        _table(containers(seen)),
        Text(),
        *map(Text, lines),
        Text(),
        _table(queues(seen)),
        *(Text(f"warning: {plain_line(warning)}", style="yellow") for warning in warnings(seen)),
    )


def _container(seen: ContainerStatus, now: float) -> list[str]:
    state = "not there" if seen.state == "absent" else seen.state
    if seen.stopped_by_hand:
        state = "stopped by hand"
    elif seen.exit_code is not None:
        state = f"{state} ({seen.exit_code})"
    since = words.duration(now - seen.since) if seen.since else ""
    restarts = "" if seen.restarts is None else str(seen.restarts)
    health = "" if seen.health == "unknown" else seen.health
    return [seen.name, state, health, since, restarts, short_image(seen.image)]


def _database(seen: Status) -> str:
    if seen.initialised.state == "done":
        return "migrated and initialised"
    if seen.initialised.state == "unmigrated":
        return f"init is needed: {seen.initialised.words}; `cvatd init` does it"
    return seen.initialised.words


def _usage(seen: Status, spent: Rate | None) -> list[tuple[str, str]]:
    usage = seen.usage
    if usage is None:
        return [("memory", "nothing runs in the slice")]
    percent = f" ({usage.memory_percent} %)" if usage.memory_percent is not None else ""
    of = f" of {words.memory(usage.memory_max)}{percent}" if usage.memory_max else ", without a limit"
    slowed = f", slowed down above {words.memory(usage.memory_high)}" if usage.memory_high else ""
    used = f"{spent.cpu_percent:.0f} % of " if spent else f"{words.duration(usage.cpu_s)} used, limit "
    limit = f"{usage.cpu_limit_percent} %" if usage.cpu_limit_percent else "none"
    return [
        ("memory", f"{words.memory(usage.memory)}{of}{slowed}, in {usage.parent}"),
        ("processor", used + limit),
    ]


def _disk(seen: Status) -> str:
    if seen.disk is None:
        return f"{seen.data_dir} is not there"
    free = f"{words.size(seen.disk.free)} free of {words.size(seen.disk.total)}"
    return f"{seen.disk.used_percent} % used, {free}, below {seen.data_dir}"


def _table(rows: Rows) -> "Table":
    from rich.table import Table

    from cvatd.core.plain import plain_line

    heads, cells = rows
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:  # names are there to be typed: where it is narrow, images give way
        table.add_column(head, no_wrap=head != "image", overflow="ellipsis")
    for row in cells:
        table.add_row(*(_cell(plain_line(text)) for text in row))
    return table


def _cell(text: str) -> "Text":
    from rich.text import Text

    bad = text == "unhealthy" or text.startswith(("exited", "not there"))
    return Text(text, style="red" if bad else "green" if text in GOOD else "")
