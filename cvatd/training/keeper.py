"""The loops beside the web face: the reconciler (one at a time on one database) and the senders of callbacks."""

import threading
from collections.abc import Callable

import psycopg
import redis
from rq import Queue

from cvatd.core import database, log
from cvatd.core.database import Connection, Pool
from cvatd.core.outbox import Sender
from cvatd.training.reconciler import reconcile

RECONCILE_S = 0.25
OUTBOX_IDLE_S = 0.3
SENDERS = 3  # a receiver that hangs holds one of them for half a minute
TROUBLE_PAUSE_S = 2.0
LEADER_LOCK = 0x6B656570  # "keep"

logger = log.get(__name__)


class Keeper:
    """Start it once per web process, stop it before the pool closes."""

    def __init__(self, database_url: str, pool: Pool, doorbell: Queue, sender: Sender) -> None:
        self._url = database_url
        self._pool = pool
        self._doorbell = doorbell
        self._sender = sender
        self._stop = threading.Event()
        loops = [("reconciler", self._reconcile_while_leader), *[("outbox", self._send)] * SENDERS]
        self._threads = [threading.Thread(target=self._forever, args=loop, daemon=True) for loop in loops]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self._sender.close()

    def _forever(self, name: str, loop: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                loop()
            except (psycopg.Error, redis.RedisError) as error:
                logger.warning("a loop waits for its server", loop=name, error=str(error).strip())
            except Exception:
                logger.exception("a loop failed and begins again", loop=name)
            self._stop.wait(TROUBLE_PAUSE_S)

    def _reconcile_while_leader(self) -> None:
        with database.connect(self._url) as lock:
            while not self._stop.is_set():
                if _is_leader(lock):
                    reconcile(self._pool, self._doorbell)
                self._stop.wait(RECONCILE_S)

    def _send(self) -> None:
        while not self._stop.is_set():
            if not self._sender.send_one():
                self._stop.wait(OUTBOX_IDLE_S)


def _is_leader(lock: Connection) -> bool:
    """Ask for the lock once; afterwards see that the session which holds it is alive."""
    row = lock.execute(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() "
        "AND objsubid = 1 AND objid = %(key)s) OR pg_try_advisory_lock(%(key)s) AS leads",
        {"key": LEADER_LOCK},
    ).fetchone()
    return bool(row and row["leads"])
