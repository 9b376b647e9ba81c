"""What the kernel's log tells of memory: in whose cgroup it killed, and when. It alone names the one that had to go."""

import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

KMSG = "/dev/kmsg"
RECORD_BYTES = 8192
# A record: level, number, microseconds since the start of the kernel, marks; words.
KILLED = re.compile(rb"^\d+,\d+,(\d+),[^;]*;oom-kill:.*\btask_memcg=([^,\s]+)")
# The log goes by a clock of its own, which nobody sets.
CLOCKS_APART_S = 5.0


@dataclass(frozen=True)
class Kill:
    """Of a process for want of memory. `at` is in Unix seconds."""

    at: float
    cgroup: str


def kills() -> list[Kill]:
    """All since the log begins; none where it may not be read."""
    return kills_in(_records(), time.time() - time.monotonic())


def kills_in(records: Iterable[bytes], boot_at: float) -> list[Kill]:
    """Pure."""
    found = (KILLED.search(record) for record in records)
    return [Kill(boot_at + int(one[1]) / 1e6, one[2].decode(errors="replace")) for one in found if one]


def names(seen: Iterable[Kill], container_id: str, since: float) -> bool:
    """Whether one of these was of this container, in the life that began then. Pure."""
    return any(container_id in kill.cgroup and kill.at >= since - CLOCKS_APART_S for kill in seen)


def _records() -> Iterator[bytes]:
    try:
        log = os.open(KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        while True:
            try:
                yield os.read(log, RECORD_BYTES)
            except BrokenPipeError:
                continue  # the kernel needed the room of the record that came next
            except OSError:
                return  # no more for now
    finally:
        os.close(log)
