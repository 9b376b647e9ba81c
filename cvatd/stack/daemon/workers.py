"""Containers that run and whose workers listen to nothing: seen in Redis alone, since a worker has no check."""

import threading
import time
from collections.abc import Mapping

from podman.errors import APIError
from requests import RequestException

from cvatd.stack import facts
from cvatd.stack.podman import Found, Podman
from cvatd.stack.readiness import lacking_workers
from cvatd.stack.spec import Container

INTERVAL_S = 30.0
# A worker needs seconds to start, and its sign of life some more to be missed.
PATIENCE_S = 90.0


class Workers:
    """Asks in a thread of its own; `lacking` are those that lack something for longer than `patience_s`."""

    def __init__(self, podman: Podman, interval_s: float = INTERVAL_S, patience_s: float = PATIENCE_S) -> None:
        self._podman = podman
        self._interval_s = interval_s
        self._patience_s = patience_s
        self._guard = threading.Lock()
        self._asking = False
        self._due_at = 0.0
        self._since: dict[str, float] = {}
        self._words: dict[str, str] = {}

    def turn(self, containers: Mapping[str, Container], found: Mapping[str, Found]) -> None:
        now = time.monotonic()
        with self._guard:
            if self._asking or now < self._due_at:
                return
            self._asking, self._due_at = True, now + self._interval_s
        threading.Thread(target=self._ask, args=(dict(containers), dict(found)), daemon=True).start()

    def lacking(self) -> dict[str, str]:
        """Container -> what its workers lack."""
        now = time.monotonic()
        with self._guard:
            return {name: self._words[name] for name, since in self._since.items() if now - since >= self._patience_s}

    def _ask(self, containers: dict[str, Container], found: dict[str, Found]) -> None:
        words: dict[str, str] = {}
        try:
            redis = facts.redis_facts(self._podman, found)
            if not redis.fault:
                words = lacking(containers, found, redis)
        except (APIError, RequestException, OSError):
            pass  # Podman is away
        finally:
            now = time.monotonic()
            with self._guard:
                self._asking = False
                self._since = {name: self._since.get(name, now) for name in words}
                self._words = words


def lacking(containers: Mapping[str, Container], found: Mapping[str, Found], redis: facts.RedisFacts) -> dict[str, str]:
    """Of the containers that run: what their workers lack, in words. Pure."""
    running = [container for name, container in containers.items() if name in found and found[name].running]
    return {
        container.name: next(iter(missing.values()))
        for container in running
        if (missing := lacking_workers([container], redis))
    }
