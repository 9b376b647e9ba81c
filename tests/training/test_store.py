"""The store on a real PostgreSQL: claims, fencing, events, ends."""

import threading

import pytest

from cvatd.core import outbox
from cvatd.core.database import Pool
from cvatd.core.errors import CvatdError
from cvatd.training import states, store
from cvatd.training.jobs import Callback, NewRun, Run
from cvatd.training.states import State
from tests.training.conftest import Insert


def claim(pool: Pool, run: Run, worker: str = "w") -> Run:
    with pool.connection() as connection:
        claimed = store.claim(connection, run.id, worker)
    assert claimed is not None
    return claimed


def messages(pool: Pool, run: Run) -> list[str]:
    with pool.connection() as connection:
        return [d.type for d in reversed(outbox.list_deliveries(connection, run.id))]


def test_a_job_id_is_taken_once(pool: Pool, insert: Insert) -> None:
    insert("a")
    with pool.connection() as connection:
        again = NewRun("a", "y", "u", None, None, "m", None, {}, {}, 1)
        assert store.insert(connection, again) is None


def test_of_many_workers_one_gets_the_run(pool: Pool, insert: Insert) -> None:
    run = insert()
    got: list[Run | None] = []

    def worker(name: str) -> None:
        with pool.connection() as connection:
            got.append(store.claim(connection, run.id, name))

    threads = [threading.Thread(target=worker, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [claimed for claimed in got if claimed]
    assert len(winners) == 1
    assert winners[0].attempt == 1
    assert winners[0].state is State.PREPARING


def test_a_worker_that_lost_its_lease_can_write_nothing(pool: Pool, insert: Insert) -> None:
    old = claim(pool, insert())
    with pool.connection() as connection:
        store.release(connection, old, "gone", losses=1)
    new = claim(pool, old, "other")
    assert new.attempt == old.attempt + 1
    writes = [
        lambda c: store.heartbeat(c, old.id, old.attempt),
        lambda c: store.set_progress(c, old, {}),
        lambda c: store.set_dataset(c, old, {}),
        lambda c: store.set_epoch(c, old, 1, 3, {}),
        lambda c: store.set_offset(c, old, 5),
        lambda c: store.set_started(c, old, {}, 3),
        lambda c: store.move(c, old, states.Event.TRAIN),
        lambda c: store.end(c, old, states.Event.FAIL, "x", "x"),
        lambda c: store.release(c, old, "x", losses=0),
    ]
    for write in writes:
        with pytest.raises(store.LeaseLost), pool.connection() as connection:
            write(connection)
    with pool.connection() as connection:
        assert store.get(connection, old.id).state is State.PREPARING


def test_an_epoch_that_is_reported_twice_is_kept_once(pool: Pool, insert: Insert) -> None:
    run = insert()
    with pool.connection() as connection:
        assert store.append_event(connection, run.id, "epoch", {"epoch": 1, "v": 1}) is not None
        assert store.append_event(connection, run.id, "epoch", {"epoch": 1, "v": 2}) is None
        assert store.append_event(connection, run.id, "epoch", {"epoch": 2}) is not None
        events = store.events_after(connection, run.id)
    assert [e.data for e in events if e.type == "epoch"] == [{"epoch": 1, "v": 1}, {"epoch": 2}]
    assert [e.seq for e in events] == sorted(e.seq for e in events)


def test_cancelling_a_queued_run_ends_it_and_tells_its_caller(pool: Pool, insert: Insert) -> None:
    run = insert()
    with pool.connection() as connection:
        assert store.cancel(connection, run.id).state is State.CANCELLED
        assert store.cancel(connection, run.id).state is State.CANCELLED
    assert messages(pool, run) == [Callback.FAILED]


def test_cancelling_a_run_in_hand_is_carried_out_by_its_worker(pool: Pool, insert: Insert) -> None:
    run = claim(pool, insert())
    with pool.connection() as connection:
        assert store.cancel(connection, run.id).state is State.CANCELLING
        assert store.heartbeat(connection, run.id, run.attempt) is State.CANCELLING
        assert store.end(connection, run, states.Event.COMPLETE, metrics={"map50": 1}) is State.CANCELLED
        ended = store.get(connection, run.id)
    assert ended.finished_at is not None
    assert messages(pool, run) == [Callback.FAILED]


def test_a_cancelled_run_whose_worker_died_is_claimed_again(pool: Pool, insert: Insert) -> None:
    run = claim(pool, insert())
    with pool.connection() as connection:
        store.cancel(connection, run.id)
        store.release(connection, run, "gone", losses=1)
    assert claim(pool, run).state is State.CANCELLING


def test_a_failed_run_is_resumed_with_a_clean_slate(pool: Pool, insert: Insert) -> None:
    run = claim(pool, insert())
    with pool.connection() as connection:
        assert store.end(connection, run, states.Event.FAIL, "disk_full", "The disk is full.") is State.FAILED
        resumed = store.resume(connection, run.id)
    assert resumed.state is State.QUEUED
    assert resumed.error_code is None
    assert resumed.finished_at is None
    assert messages(pool, run) == [Callback.FAILED]


def test_unknown_runs_are_refused_in_words(pool: Pool) -> None:
    for number in (99, 2**63, -1):
        with pytest.raises(CvatdError, match="no run"), pool.connection() as connection:
            store.get(connection, number)


def test_pages_go_backwards_without_gaps(pool: Pool, insert: Insert) -> None:
    runs = [insert(f"job-{n}", model_name="100%_sure" if n % 2 else None) for n in range(5)]
    with pool.connection() as connection:
        first = store.list_runs(connection, limit=2)
        rest = store.list_runs(connection, before=first[-1].id, limit=10)
        found = store.list_runs(connection, query="%_S")
        assert store.counts(connection) == {"queued": 5}
    assert [run.id for run in first + rest] == [run.id for run in reversed(runs)]
    assert len(found) == 2, "the words of a search are no pattern"


def test_progress_replaces_what_a_receiver_that_is_down_has_not_got(pool: Pool, insert: Insert) -> None:
    run = insert()
    with pool.connection() as connection:
        for epoch in (1, 2):
            store.tell(connection, run, Callback.PROGRESS, {"epoch": epoch}, replaces=True)
        assert [d.state for d in outbox.list_deliveries(connection, run.id)] == ["pending", "pending"]
        connection.execute("UPDATE deliveries SET attempts = 1, next_at = now() + interval '1 hour'")
        store.tell(connection, run, Callback.PROGRESS, {"epoch": 3}, replaces=True)
        states_ = [d.state for d in outbox.list_deliveries(connection, run.id)]
    assert states_ == ["pending", "superseded", "superseded"]
