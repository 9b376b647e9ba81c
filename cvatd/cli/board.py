"""Work on several containers, shown while it goes on: a table that moves on a terminal, a line a change in a pipe."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TextIO, TypeVar

from cvatd.cli import interrupts
from cvatd.core.plain import plain_line

if TYPE_CHECKING:
    from rich.table import Table

FRAMES_PER_S = 8
LOOK_S = 1.0
PULLING = "pulling"
# States that end a row's work, and how they are drawn. A word always stands beside the colour.
GOOD = {"healthy", "running", "done", "ready", "pulled", "removed", "started", "unchanged"}
BAD = {"failed"}
# Before its work; the clock of a row does not run yet.
RESTING = {"", "unchanged", "waiting"}

Work = TypeVar("Work")
Tell = Callable[[str, str, str], None]


@dataclass
class Row:
    state: str = ""
    detail: str = ""
    began: float | None = None
    ended: float | None = None

    def seconds(self, now: float) -> float | None:
        """Since its work began, or what it took; None before."""
        return None if self.began is None else (self.ended or now) - self.began


class Board:
    """The rows, told of changes from many threads.

    `images` maps an image to the containers that wait for it; a `transient` board is wiped away at the end.
    """

    def __init__(
        self, names: Iterable[str], images: Mapping[str, list[str]] | None = None, transient: bool = False
    ) -> None:
        self.transient = transient
        self.rows = {name: Row() for name in names}
        self._images = dict(images or {})
        self._lock = threading.Lock()
        self._clock = time.monotonic

    def tell(self, name: str, state: str, detail: str) -> list[tuple[str, str, str]]:
        """Take in a change; returns it as a pipe is to show it, empty for what would only be noise there."""
        detail = plain_line(detail)
        with self._lock:
            now = self._clock()
            targets = self._images.get(name, [name])
            changed = [self._set(target, state, detail, now) for target in targets]
            noise = state == PULLING and detail and not detail.startswith("attempt ")
            return [(name, state, detail)] if any(changed) and not noise else []

    def _set(self, name: str, state: str, detail: str, now: float) -> bool:
        row = self.rows.setdefault(name, Row())
        if (row.state, row.detail) == (state, detail):
            return False
        row.state, row.detail = state, detail
        if state not in RESTING and row.began is None:
            row.began = now
        row.ended = now if state in GOOD | BAD else None
        return True

    def amend(self, name: str, state: str, detail: str) -> None:
        """Another detail for a row that is still in this state."""
        with self._lock:
            row = self.rows.get(name)
            if row is not None and row.state == state:
                row.detail = plain_line(detail)

    def snapshot(self) -> list[tuple[str, str, str, float | None]]:
        """(name, state, detail, seconds) of each row."""
        with self._lock:
            now = self._clock()
            return [(name, row.state, row.detail, row.seconds(now)) for name, row in self.rows.items()]


def table(board: Board) -> "Table":
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    drawn.add_column("container", no_wrap=True, min_width=19)
    drawn.add_column("state", no_wrap=True, min_width=10)
    drawn.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
    drawn.add_column("time", no_wrap=True, justify="right", min_width=7)
    for name, state, detail, seconds in board.snapshot():
        style = "green" if state in GOOD else "red" if state in BAD else "dim" if state in RESTING else "yellow"
        shown = "" if seconds is None else f"{seconds:.1f} s"
        drawn.add_row(Text(name), Text(state, style=style), Text(detail, style="dim"), Text(shown))
    return drawn


def watch(
    board: Board,
    work: Callable[[Tell], Work],
    left: Callable[[Board], str],
    file: TextIO | None = None,
    look: Callable[[], None] = lambda: None,
) -> Work:
    """Run `work` in a thread while its rows are shown on `file` (standard output); its result or its error.

    On a terminal `look` is called every second, to amend what nobody tells. Ctrl-C and SIGTERM leave everything as it
    is at that moment, which every later command can go on from: `left` says so.
    """
    out = file or sys.stdout
    ended = threading.Event()
    result: list[Work] = []
    error: list[BaseException] = []
    live = out.isatty()

    def tell(name: str, state: str, detail: str) -> None:
        for shown in board.tell(name, state, detail):
            if not live:
                out.write("\t".join(shown).rstrip("\t") + "\n")  # at once: others write, too
                out.flush()

    def run() -> None:
        try:
            result.append(work(tell))
        except BaseException as fault:
            error.append(fault)
        finally:
            ended.set()

    thread = threading.Thread(target=run, daemon=True)
    try:
        with interrupts.interruptible():
            if live:
                _draw_until(ended, board, out, thread, look)
            else:
                thread.start()
                ended.wait()
    except KeyboardInterrupt as told:
        _leave(left(board), interrupts.status(told))
    if error:
        raise error[0]
    return result[0]


def _draw_until(
    ended: threading.Event, board: Board, out: TextIO, thread: threading.Thread, look: Callable[[], None]
) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=out)
    try:
        with Live(table(board), console=console, auto_refresh=False, transient=board.transient) as live:
            thread.start()
            next_look = time.monotonic() + LOOK_S
            while not ended.wait(1 / FRAMES_PER_S):
                live.update(table(board), refresh=True)
                if time.monotonic() >= next_look:
                    look()
                    next_look = time.monotonic() + LOOK_S
            live.update(table(board), refresh=True)
    finally:
        console.show_cursor()  # also when interrupted before Live itself would do it


def _leave(words: str, status: int) -> NoReturn:
    """Threads may be in the middle of a long wait for Podman: nothing waits for them."""
    print(f"\n{words}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)
