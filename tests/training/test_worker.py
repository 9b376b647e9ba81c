"""Whoever can write to Redis must not choose what the worker runs."""

from pathlib import Path

import pytest
import rq
from rq.serializers import JSONSerializer

from cvatd.training import queue
from cvatd.training.worker import FUNCTION, Worker


@pytest.fixture
def doorbell(redis_url: str) -> rq.Queue:
    return queue.open_queue(queue.connect(redis_url))


def run_all(doorbell: rq.Queue) -> None:
    Worker([doorbell], connection=doorbell.connection, serializer=JSONSerializer).work(burst=True)


def test_another_function_is_refused(doorbell: rq.Queue, tmp_path: Path) -> None:
    doorbell.enqueue_call("os.mkdir", args=(str(tmp_path / "made"),))
    run_all(doorbell)
    assert not (tmp_path / "made").exists()
    assert doorbell.get_job_ids() == []


def test_a_callback_beside_our_function_is_refused(doorbell: rq.Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    monkeypatch.setattr("cvatd.training.worker.work", called.append)
    doorbell.enqueue_call(FUNCTION, args=(1,), on_success=rq.Callback("os.abort"))
    run_all(doorbell)
    assert called == []


def test_our_function_is_called_with_the_id(doorbell: rq.Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    monkeypatch.setattr("cvatd.training.worker.work", called.append)
    queue.ring(doorbell, 7, 0)
    run_all(doorbell)
    assert called == [7]
