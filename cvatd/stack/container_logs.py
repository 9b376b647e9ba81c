"""What containers wrote, line by line with its time: the last lines of several in order, or all as they come.

Podman frames each line; a line longer than conmon's 8 kB comes in parts, and of its last lines (`tail`) Podman 4.3
itself leaves out all parts of such a line but the last. A stream of Podman ends when the container
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

from cvatd.core.errors import CvatdError
from cvatd.stack.podman import Podman

FRAME = struct.Struct(">BxxxL")
STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
LONGEST_LINE_BYTES = 256 << 10
WAITING_LINES = 10_000
QUIET_S = 10.0
LOOK_S = 0.5
FIRST_S = 0.4
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
    """The last lines of each, then all as they come, without end; None whenever there is none for the moment.

    `choose` names the containers; it is asked again and again, so that new ones are followed as they appear, from
    their first line. The threads that read end with the process.
    """
    lines: queue.Queue[Line] = queue.Queue(WAITING_LINES)
    followed: set[str] = set()
    first = True
    next_look = 0.0
    while True:
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + LOOK_S
            try:
                fresh = [name for name in choose() if name not in followed]
            except CvatdError:
                if first:
                    raise
                fresh = []  # Podman may be away for a moment
            followed.update(fresh)
            for name in fresh:
                reader = _Reader(podman, name, tail if first else None, lines.put)
                threading.Thread(target=reader.run, daemon=True).start()
            if first:
                first = False
                yield from sorted(_burst(lines), key=lambda line: line.time_ns)
        try:
            yield lines.get(timeout=LOOK_S)
        except queue.Empty:
            yield None
        else:
            if lines.empty():
                yield None


def _burst(lines: queue.Queue[Line]) -> list[Line]:
    """What comes at once in the beginning, to be put in order."""
    found: list[Line] = []
    deadline = time.monotonic() + FIRST_S
    while (left := deadline - time.monotonic()) > 0 and len(found) < WAITING_LINES:
        try:
            found.append(lines.get(timeout=left))
        except queue.Empty:
            break
    return found


class _Reader:
    """Follows one container over the ends of its streams: the container's, Podman's, or a silence.

    Podman 4 tells times to the second only. So a stream is taken up again with the second of the last line, and as
    many lines of that second are left out as were seen; another container of the same name begins a log of its own.
    """

    def __init__(self, podman: Podman, name: str, tail: int | None, put: Callable[[Line], None]) -> None:
        self._podman = podman
        self._name = name
        self._tail = tail
        self._put = put
        self._id = ""
        self._since_ns = 0
        self._seen = 0  # lines at `_since_ns` or, before the first stream, after it

    def run(self) -> None:
        self._begin()
        while True:
            with contextlib.suppress(CvatdError):  # not there now, or Podman is away
                self._stream()
            time.sleep(LOOK_S)

    def _begin(self) -> None:
        """Where to follow from: a place in the log that what is written meanwhile does not move."""
        if self._tail is None:
            return
        self._since_ns = time.time_ns()
        with contextlib.suppress(CvatdError):
            self._id = self._podman.inspect(self._name)["Id"]
            shown = list(read(self._podman, self._name, self._tail, None, False))
            if shown:
                self._since_ns = shown[0].time_ns
                before = list(read(self._podman, self._name, None, self._since_ns - 1, False))
                self._seen = max(0, len(before) - len(shown))

    def _stream(self) -> None:
        current = self._podman.inspect(self._name)["Id"]
        if current != self._id:
            self._id, self._seen = current, 0
        leave_out, since_ns = self._seen, self._since_ns
        for line in read(self._podman, self._name, None, since_ns - 1 if since_ns else None, True):
            if line.time_ns == since_ns and leave_out:
                leave_out -= 1
                continue
            self._seen = self._seen + 1 if line.time_ns == self._since_ns else 1
            self._since_ns = line.time_ns
            self._put(line)


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
