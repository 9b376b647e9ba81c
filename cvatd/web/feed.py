"""Wakes those who watch a run: one thread LISTENs in PostgreSQL, any number of requests wait."""

import asyncio
import threading
from collections import defaultdict

import psycopg

from cvatd.core import database, log

POLL_S = 1.0  # how soon the thread sees that it is to stop
TROUBLE_PAUSE_S = 1.0

logger = log.get(__name__)


class Feed:
    """`wait` returns when something happened to the run, or after `timeout_s` in any case."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers: defaultdict[int, set[asyncio.Event]] = defaultdict(set)
        self._thread = threading.Thread(target=self._listen, name="feed", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._wake_all()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def watch(self, run_id: int) -> asyncio.Event:
        """Set at each change until `unwatch`; the watcher clears it before it looks."""
        event = asyncio.Event()
        self._watchers[run_id].add(event)
        return event

    def unwatch(self, run_id: int, event: asyncio.Event) -> None:
        self._watchers[run_id].discard(event)
        if not self._watchers[run_id]:
            del self._watchers[run_id]

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                with database.connect(self._url) as connection:
                    connection.execute("LISTEN runs")
                    self._call(self._wake_all)  # something may have happened while nobody listened
                    while not self._stop.is_set():
                        for notice in connection.notifies(timeout=POLL_S):
                            self._call(self._wake, int(notice.payload))
            except psycopg.OperationalError as error:
                logger.warning("the store is away", error=str(error).strip())
                self._stop.wait(TROUBLE_PAUSE_S)

    def _call(self, function: object, *values: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *values)  # type: ignore[arg-type]

    def _wake(self, run_id: int) -> None:
        for event in self._watchers.get(run_id, ()):
            event.set()

    def _wake_all(self) -> None:
        for run_id in list(self._watchers):
            self._wake(run_id)
