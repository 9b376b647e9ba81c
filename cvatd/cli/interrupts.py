"""Ctrl-C and SIGTERM while something is shown: both end it in order, with the exit status that shells know."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130
TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """By SIGTERM."""


def status(told: KeyboardInterrupt) -> int:
    """To exit with."""
    return TERMINATED if isinstance(told, Terminated) else INTERRUPTED


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends what is shown as Ctrl-C does: at once it would leave a terminal without its cursor."""

    def end(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
