"""Podman's events, followed in a thread: comes back after Podman does, and misses nothing of what it kept."""

import threading
import time
from collections import deque
from collections.abc import Callable

from cvatd.core import log
from cvatd.core.errors import CvatdError
from cvatd.stack.daemon.ends import TOLD, Notice
from cvatd.stack.podman import Podman
from cvatd.stack.spec import STACK_LABEL

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
SILENT_S = 300.0
LOOKED_BACK_S = 86_400.0
# Podman takes whole seconds for a beginning, and writes events a little later than they happen.
OVERLAP_S = 3.0
MOST_WAITING = 10_000
CATCH_UP_S = 10.0

logger = log.get("cvatd.daemon")


class Follower:
    def __init__(self, podman: Podman, wake: Callable[[], None]) -> None:
        self._podman = podman
        self._wake = wake
        self._waiting: deque[Notice] = deque(maxlen=MOST_WAITING)
        # What happened while no daemon ran counts too, but nothing from before the host's own start.
        self._since = time.time() - min(LOOKED_BACK_S, time.clock_gettime(time.CLOCK_BOOTTIME))
        self._seen: set[Notice] = set()
        self._guard = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def drain(self) -> list[Notice]:
        """What came since the last call."""
        came = []
        while self._waiting:
            came.append(self._waiting.popleft())
        return came

    def catch_up(self) -> None:
        """Take all that Podman has told until now: what follows comes late, or after a pause."""
        try:
            for event in self._podman.events(self._since - OVERLAP_S, TOLD, CATCH_UP_S, follow=False):
                self._take(event)
        except CvatdError as error:  # a Podman whose logger is "none" must not end the mending
            logger.debug("events are not to be had", why=error.message)

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                for event in self._podman.events(self._since - OVERLAP_S, TOLD, SILENT_S):
                    self._take(event)
            except CvatdError as error:
                logger.debug("events are not to be had", why=error.message)
            except Exception:
                logger.exception("an event was not understood")
            self._wake()  # Podman may be away: look
            pause_s = FIRST_PAUSE_S if time.monotonic() - began > LONGEST_PAUSE_S else min(pause_s * 2, LONGEST_PAUSE_S)
            time.sleep(pause_s)

    def _take(self, event: dict[str, object]) -> None:
        notice = parse(event)
        with self._guard:
            if notice is None or notice in self._seen:
                return
            self._since = max(self._since, notice.at)
            self._seen = {seen for seen in self._seen if seen.at > self._since - 2 * OVERLAP_S} | {notice}
            self._waiting.append(notice)
        self._wake()


def parse(event: dict[str, object]) -> Notice | None:
    """None for what is no event of a container of ours. Pure."""
    actor, nanoseconds = event.get("Actor"), event.get("timeNano")
    if not isinstance(actor, dict) or not isinstance(nanoseconds, int):
        return None
    attributes = actor.get("Attributes")
    if not isinstance(attributes, dict) or not (STACK_LABEL in attributes or "PODMAN_SYSTEMD_UNIT" in attributes):
        return None
    name, action = attributes.get("name"), event.get("Action")
    if not isinstance(name, str) or not isinstance(action, str):
        return None
    return Notice(nanoseconds / 1e9, name, action)
