"""A worker's hold on a run: a session lock that dies with the process, and a heartbeat that stops when it hangs.

The lock's connection does nothing else, so that PostgreSQL notices the death of its owner at once.
"""

import os
import socket
import threading

import psycopg

from cvatd.core import database, log
from cvatd.core.database import Connection
from cvatd.training import store
from cvatd.training.jobs import Run
from cvatd.training.states import State

BEAT_S = 0.4

logger = log.get(__name__)


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


class Lease:
    """Beats in a thread of its own until closed. `state` is what the store said at the last beat."""

    def __init__(self, database_url: str, run: Run) -> None:
        self._url = database_url
        self._run = run
        self._done = threading.Event()
        self._lost = threading.Event()
        self.state = run.state
        self._thread = threading.Thread(target=self._keep, name=f"lease-{run.id}", daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(timeout=5)

    @property
    def lost(self) -> bool:
        """Another worker holds the run, or it was ended by somebody else."""
        return self._lost.is_set()

    @property
    def cancelling(self) -> bool:
        return self.state is State.CANCELLING

    def _keep(self) -> None:
        while not self._done.is_set() and not self.lost:
            try:
                with database.connect(self._url) as lock, database.connect(self._url) as beats:
                    self._take_lock(lock)
                    self._beat(beats)
            except psycopg.OperationalError as error:
                # The lease may outlive a restart of PostgreSQL: the row says whose it is.
                logger.warning("the store is away", run=self._run.id, error=str(error).strip())
                self._done.wait(1.0)

    def _take_lock(self, lock: Connection) -> None:
        # Not waiting: a backend that still holds it for a dead worker is the reconciler's business.
        lock.execute("SELECT pg_try_advisory_lock(%s, %s)", (store.LOCK_CLASS, self._run.id))

    def _beat(self, beats: Connection) -> None:
        while True:
            try:
                self.state = store.heartbeat(beats, self._run.id, self._run.attempt)
            except store.LeaseLost:
                self._lost.set()
                return
            if self._done.wait(BEAT_S):
                return
