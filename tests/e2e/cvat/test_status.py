"""`cvatd status` and `cvatd queues` on a stack that runs, and on one that does not."""

import json
import os
import signal
import threading

import pytest

from cvatd.stack.status_model import Status
from tests.e2e.cvat.stand import SLICE, Stand

pytestmark = pytest.mark.e2e
TIMEOUT_S = 60


def test_a_stack_that_runs(standing: Stand) -> None:
    seen = Status.model_validate_json(standing.cvatd("status", "--json").stdout)
    assert (seen.ready, seen.reasons, seen.wanted) == (True, [], True)
    assert seen.data_dir == standing.data_dir
    assert {container.name: (container.state, container.health) for container in seen.containers} == dict.fromkeys(
        standing.runner().stack().names, ("running", "healthy")
    )
    assert seen.versions.cvat == seen.versions.data == "2.80.0"
    assert (seen.versions.postgres or "").startswith("15.")
    assert (seen.versions.redis or "").startswith("7.")
    assert seen.initialised.state == "done"
    assert all(queue.workers == 1 and not queue.lacks for queue in seen.queues)
    assert seen.usage is not None
    assert SLICE in seen.usage.parent
    assert 0 < seen.usage.memory < (seen.usage.memory_max or 0)
    assert seen.disk is not None

    words = standing.cvatd("status").stdout.splitlines()
    assert words[0] == f"CVAT is ready at {standing.url}"
    rows = [line.split("\t") for line in words if "\t" in line]
    assert ["cvat-db", "running", "healthy"] in [row[:3] for row in rows]
    assert all(len(line) <= 100 for line in words if "\t" not in line and not line.startswith("warning"))

    queues = json.loads(standing.cvatd("queues", "--json").stdout)
    assert {queue["name"] for queue in queues["queues"]} >= {"import", "export", "chunks", "cleaning"}
    assert {worker["hostname"] for worker in queues["workers"]} >= {"cvat-worker-low"}


def test_what_is_wrong_with_it(standing: Stand) -> None:
    standing.host.run("stop", "--time", "5", "cvat-ui")
    try:
        done = standing.cvatd("status", check=False)
    finally:
        standing.host.run("start", "cvat-ui")
    assert done.returncode == 3
    assert done.stdout.splitlines()[0].startswith("CVAT is not ready: cvat-ui is exited")


def test_it_watches_until_it_is_told_to_stop(standing: Stand) -> None:
    watching = standing.start("status", "--watch", "--json")
    assert watching.stdout is not None
    bound = threading.Timer(TIMEOUT_S, os.killpg, (watching.pid, signal.SIGKILL))  # a silent one ends, too
    bound.start()
    try:
        looks = [Status.model_validate_json(watching.stdout.readline()) for _ in range(2)]
        assert looks[0].at < looks[1].at
        os.killpg(watching.pid, signal.SIGINT)
        assert watching.wait(TIMEOUT_S) == 130
    finally:
        bound.cancel()


def test_nothing_runs(stand: Stand) -> None:
    done = stand.cvatd("status", check=False)
    assert done.returncode == 3
    assert done.stdout.splitlines()[0] == "CVAT is not ready: no container runs; `cvatd up` starts CVAT"
    queues = stand.cvatd("queues", check=False)
    assert queues.returncode == 3
    assert "cvat-redis does not run" in queues.stderr
