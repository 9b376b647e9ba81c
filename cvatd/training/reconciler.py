"""Puts right what a crash left behind: leases whose worker is gone, and runs that Redis has forgotten.

One reconciler works at a time (a session lock); the others wait for it to go away.
"""

from dataclasses import dataclass
from typing import Any

from rq import Queue

from cvatd.core import log
from cvatd.core.database import Pool
from cvatd.training import queue as doorbell
from cvatd.training import store
from cvatd.training.jobs import Run
from cvatd.training.states import State

# Beats come every 0.5 s: three missed ones and a free lock mean that the worker is dead.
DEAD_AFTER_S = 1.2
# A worker that holds its lock and does not beat is stopped or hangs; machines that swap are given some time.
STUCK_AFTER_S = 15.0
# How long a run may lie between the bell and a worker's claim before its bell is looked for.
RUNG_GRACE_S = 2.0
MAX_LOSSES = 3

logger = log.get(__name__)


@dataclass(frozen=True)
class TakeBack:
    """The lease is void: another worker may go on."""

    terminate: int | None = None  # the backend process that still holds the lock of a worker that hangs


def judge_lease(silent_s: float, lock_pid: int | None) -> TakeBack | None:
    """What to do about a lease whose last heartbeat is `silent_s` old. Pure.

    A free lock alone means little (PostgreSQL frees them all when it restarts), an old heartbeat alone neither.
    """
    if lock_pid is None and silent_s > DEAD_AFTER_S:
        return TakeBack()
    if lock_pid is not None and silent_s > STUCK_AFTER_S:
        return TakeBack(terminate=lock_pid)
    return None


def too_many_losses(run: Run) -> bool:
    """Whether losing its worker once more ends the run: it may be what kills them."""
    return run.state is not State.CANCELLING and run.losses + 1 >= MAX_LOSSES


def reconcile(pool: Pool, queue: Queue) -> None:
    """One pass. Raises psycopg.Error when the store is away, redis.RedisError when the bell is."""
    take_back_leases(pool)
    ring_forgotten(pool, queue)


def take_back_leases(pool: Pool) -> None:
    with pool.connection() as connection:
        rows = store.leased(connection)
    for row in rows:
        verdict = judge_lease(row["silent_s"], row["lock_pid"])
        if verdict is not None:
            _take_back(pool, row, verdict)


def _take_back(pool: Pool, row: dict[str, Any], verdict: TakeBack) -> None:
    run = Run.of(row)
    words = f"worker {run.worker} has not been heard of for {row['silent_s']:.1f} s"
    try:
        with pool.connection() as connection:
            if verdict.terminate is not None:
                store.terminate_backend(connection, verdict.terminate)
            if too_many_losses(run):
                store.give_up(
                    connection,
                    run,
                    "worker_lost",
                    f"Its worker went away {MAX_LOSSES} times without finishing an epoch in between. The host may be "
                    "short of memory: see the log of the run and of the worker, then resume with a smaller batch.",
                )
            else:
                store.release(connection, run, words, losses=1)
    except store.LeaseLost:
        return  # it ended, or beat again, while we looked
    logger.warning("lease taken back", run=run.id, attempt=run.attempt, reason=words)


def ring_forgotten(pool: Pool, queue: Queue) -> None:
    """Ring again for runs that wait in the store and that Redis does not know of."""
    with pool.connection() as connection:
        rows = store.unrung(connection, RUNG_GRACE_S)
    if not rows:
        return
    known = doorbell.waiting(queue)
    forgotten = [row for row in rows if doorbell.doorbell_id(row["id"], row["attempt"]) not in known]
    rung = [row["id"] for row in forgotten if doorbell.ring(queue, row["id"], row["attempt"])]
    if rung:
        with pool.connection() as connection:
            store.rung(connection, rung)
