"""Work side by side, whose first failure or whose interrupt is the caller's at once.

A pool of the standard library joins its threads at the end, and one that waits for a registry may hang for half an
hour. Here what is still at work is left behind: its threads end with the process.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from typing import Any, TypeVar

Work = TypeVar("Work")


def begin(work: Callable[..., Work], *arguments: object) -> Future[Work]:
    """Run it in a thread of its own."""
    future: Future[Work] = Future()

    def run() -> None:
        try:
            future.set_result(work(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name=getattr(work, "__name__", "work")).start()
    return future


def finish(futures: Iterable[Future[Any]]) -> None:
    """Wait for all. Raises the first failure as soon as there is one."""
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    for future in done:
        future.result()
