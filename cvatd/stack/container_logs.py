"""What containers wrote, line by line with its time: the last lines of several in order, or all as they come.

Podman frames each line; a line longer than conmon's buffer comes in parts. A stream of Podman ends when the container
does, and may also stay silent for ever: so each is bounded, and taken up again after the last line that was seen.
"""

import contextlib
import heapq
import queue
import re
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from cvatd.core.errors import CvatdError
from cvatd.stack.podman import Podman

FRAME = struct.Struct(">BxxxL")
STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
LONGEST_LINE_BYTES = 256 << 10
WAITING_LINES = 10_000
QUIET_S = 10.0
LOOK_S = 0.5
GIGA = 1_000_000_000


@dataclass(frozen=True, order=True)
class Line:
    """`time_ns` since 1970; `text` as it was written, so possibly hostile."""

    time_ns: int
    container: str
    text: str


def last(podman: Podman, names: list[str], tail: int) -> list[Line]:
    """The last `tail` lines of each, by their times. Raises CvatdError "podman"."""
    if not names:
        return []
    with ThreadPoolExecutor(len(names)) as pool:
        parts = list(pool.map(lambda name: list(read(podman, name, tail, None, False)), names))
    return list(heapq.merge(*parts, key=lambda line: line.time_ns))


def follow(podman: Podman, choose: Callable[[], list[str]], tail: int) -> Iterator[Line | None]:
    """Lines as they come, without end; None whenever there is none for the moment. Threads end with the process.

    `choose` names the containers; it is asked again and again, so that new ones are followed as they appear.
    """
    lines: queue.Queue[Line] = queue.Queue(WAITING_LINES)
    began_ns, present = time.time_ns(), choose()
    first = last(podman, present, tail)
    yield from first
    # From where each is followed; one that appears later from its beginning.
    seen = dict.fromkeys(present, began_ns) | {line.container: line.time_ns for line in first}
    followed: set[str] = set()
    next_look = 0.0
    while True:
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + LOOK_S
            with contextlib.suppress(CvatdError):  # Podman may be away for a moment
                for name in set(choose()) - followed:
                    followed.add(name)
                    work = partial(_follow, podman, name, seen.get(name, 0), lines.put)
                    threading.Thread(target=work, daemon=True).start()
        try:
            yield lines.get(timeout=LOOK_S)
        except queue.Empty:
            yield None
        else:
            if lines.empty():
                yield None


def _follow(podman: Podman, name: str, seen_ns: int, put: Callable[[Line], None]) -> None:
    """Each end of a stream is taken for a pause: of the container, of Podman, or of its log alone."""
    while True:
        for line in read(podman, name, None, seen_ns, True):
            if line.time_ns > seen_ns:
                seen_ns = line.time_ns
                put(line)
        time.sleep(LOOK_S)


def read(podman: Podman, name: str, tail: int | None, since_ns: int | None, follow_it: bool) -> Iterator[Line]:
    """Lines of one container; none where it is not there. `tail` None is all. Ends after a silence of 10 s."""
    params = {"tail": "all" if tail is None else str(tail), "follow": str(follow_it).lower()}
    if since_ns:
        params["since"] = f"{since_ns // GIGA}.{since_ns % GIGA:09d}"
    for text in joined(frames(podman.log_stream(name, params, QUIET_S))):
        yield parse(name, text)


def frames(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """(stream, content) of each whole frame, however the chunks are cut."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        position = 0
        while position + FRAME.size <= len(buffer):
            stream, length = FRAME.unpack_from(buffer, position)
            end = position + FRAME.size + length
            if end > len(buffer):
                break
            yield stream, bytes(buffer[position + FRAME.size : end])
            position = end
        del buffer[:position]


def joined(parts: Iterable[tuple[int, bytes]]) -> Iterator[str]:
    """Whole lines of frames; what has no newline yet is continued by the next frame of its stream."""
    open_: dict[int, str] = {}
    for stream, content in parts:
        text = content.decode(errors="replace")
        begun = open_.pop(stream, None)
        if begun is not None:
            stamp = STAMP.match(text)
            text = begun + (text[stamp.end() :] if stamp else text)
        if text.endswith("\n") or len(text) > LONGEST_LINE_BYTES:
            yield text.removesuffix("\n")
        else:
            open_[stream] = text
    yield from open_.values()


def parse(container: str, text: str) -> Line:
    """A line behind its time, as Go writes it: nanoseconds without zeros at their end."""
    stamp = STAMP.match(text)
    if stamp is None:
        return Line(0, container, text)
    whole, fraction, zone = stamp.groups()
    try:
        seconds = int(datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).timestamp())
    except ValueError:
        return Line(0, container, text)
    return Line(seconds * GIGA + int((fraction or "0").ljust(9, "0")), container, text[stamp.end() :])
