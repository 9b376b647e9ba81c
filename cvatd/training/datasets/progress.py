"""Says how far the preparation is, and asks whether it shall go on."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cvatd.training.datasets.errors import IngestStopped

REPORT_EVERY_S = 0.2

StageName = Literal["download", "unpack", "check", "link"]
Unit = Literal["bytes", "files"]


@dataclass(frozen=True)
class Stage:
    name: StageName
    done: int
    total: int | None  # None: nobody knows
    unit: Unit


class Progress:
    """Passes on a stage's first report at once, later ones at most every 0.2 s."""

    def __init__(self, report: Callable[[Stage], None], should_stop: Callable[[], bool]) -> None:
        self._report = report
        self._should_stop = should_stop
        self._stage: StageName | None = None
        self._reported_at = 0.0

    def at(self, name: StageName, done: int, total: int | None, unit: Unit) -> None:
        """Note progress. Raises IngestStopped when the caller wants an end."""
        self.pause_point()
        now = time.monotonic()
        if name == self._stage and now - self._reported_at < REPORT_EVERY_S:
            return
        self._stage, self._reported_at = name, now
        self._report(Stage(name, done, total, unit))

    def pause_point(self) -> None:
        if self._should_stop():
            raise IngestStopped
