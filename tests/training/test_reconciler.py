"""The reconciler on real servers: dead workers, forgotten bells."""

import time

import pytest
import redis
from rq import Queue

from cvatd.core import database
from cvatd.core.database import Pool
from cvatd.training import queue, reconciler, store
from cvatd.training.lease import Lease
from cvatd.training.states import State
from tests.training.conftest import Insert


@pytest.fixture
def doorbell(redis_url: str) -> Queue:
    return queue.open_queue(queue.connect(redis_url))


def age(pool: Pool, seconds: float) -> None:
    with pool.connection() as connection:
        connection.execute(
            "UPDATE jobs SET heartbeat_at = now() - make_interval(secs => %s), rung_at = now() - interval '1 minute'",
            (seconds,),
        )


def test_a_flushed_redis_is_rung_again(pool: Pool, doorbell: Queue, insert: Insert) -> None:
    runs = [insert(name) for name in "abc"]
    for run in runs:
        queue.ring(doorbell, run.id, run.attempt)
    doorbell.connection.flushall()
    age(pool, 0)
    reconciler.reconcile(pool, doorbell)
    assert queue.waiting(doorbell) == {queue.doorbell_id(run.id, 0) for run in runs}
    reconciler.reconcile(pool, doorbell)
    assert len(doorbell.get_job_ids()) == 3, "what rings is not rung again"


def test_a_dead_worker_loses_its_lease(pool: Pool, doorbell: Queue, insert: Insert) -> None:
    run = insert()
    with pool.connection() as connection:
        store.claim(connection, run.id, "dead")
    age(pool, reconciler.DEAD_AFTER_S + 1)
    reconciler.reconcile(pool, doorbell)
    with pool.connection() as connection:
        taken = store.get(connection, run.id)
    assert taken.state is State.INTERRUPTED
    assert taken.losses == 1
    assert queue.waiting(doorbell) == {queue.doorbell_id(run.id, 1)}


def test_a_run_that_kills_its_workers_ends(pool: Pool, doorbell: Queue, insert: Insert) -> None:
    run = insert()
    for _ in range(reconciler.MAX_LOSSES):
        with pool.connection() as connection:
            assert store.claim(connection, run.id, "dead") is not None
        age(pool, 60)
        reconciler.reconcile(pool, doorbell)
    with pool.connection() as connection:
        ended = store.get(connection, run.id)
    assert ended.state is State.FAILED
    assert ended.error_code == "worker_lost"


def test_a_worker_that_lives_keeps_its_lease(pool: Pool, database_url: str, doorbell: Queue, insert: Insert) -> None:
    with pool.connection() as connection:
        run = store.claim(connection, insert().id, "alive")
    assert run is not None
    with Lease(database_url, run) as lease:
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            reconciler.reconcile(pool, doorbell)
            time.sleep(0.1)
        assert not lease.lost
        with pool.connection() as connection:
            assert store.leased(connection)[0]["lock_pid"] is not None
            store.cancel(connection, run.id)
        time.sleep(1)
        assert lease.cancelling


def test_a_worker_that_hangs_is_cut_off(pool: Pool, database_url: str, doorbell: Queue, insert: Insert) -> None:
    with pool.connection() as connection:
        run = store.claim(connection, insert().id, "hangs")
    assert run is not None
    with database.connect(database_url) as lock:
        lock.execute("SELECT pg_advisory_lock(%s, %s)", (store.LOCK_CLASS, run.id))
        age(pool, reconciler.STUCK_AFTER_S + 1)
        reconciler.reconcile(pool, doorbell)
        with pytest.raises(Exception, match=r"terminat|closed"):
            lock.execute("SELECT 1")
    with pool.connection() as connection:
        assert store.get(connection, run.id).state is State.INTERRUPTED


def test_a_lease_that_was_taken_over_is_noticed(pool: Pool, database_url: str, insert: Insert) -> None:
    with pool.connection() as connection:
        run = store.claim(connection, insert().id, "old")
    assert run is not None
    with Lease(database_url, run) as lease:
        with pool.connection() as connection:
            store.release(connection, run, "taken", losses=1)
            store.claim(connection, run.id, "new")
        deadline = time.monotonic() + 5
        while not lease.lost and time.monotonic() < deadline:
            time.sleep(0.05)
        assert lease.lost


def test_a_run_waits_in_the_store_while_redis_is_away(insert: Insert) -> None:
    nowhere = redis.Redis(unix_socket_path="/nonexistent/redis.sock")
    run = insert()
    assert queue.ring(queue.open_queue(nowhere), run.id, 0) is False
