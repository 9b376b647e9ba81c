"""The whole stack from nothing, again, changed, and away."""

import json

import pytest

from cvatd.stack.limits import CGROUPS
from cvatd.stack.lock import TIMEOUT_S as LOCK_TIMEOUT_S
from cvatd.stack.podman import Found
from tests.e2e.cvat.stand import NETWORK, SLICE, Stand
from tests.e2e.cvat.test_images import password

pytestmark = pytest.mark.e2e
CGROUP = CGROUPS / "memory" / SLICE


def starts(found: dict[str, Found]) -> dict[str, tuple[str, float]]:
    """Changes when a container was made anew or only started again."""
    return {name: (container.id, container.started_at) for name, container in found.items()}


def test_up_again_changed_down_and_up(stand: Stand) -> None:
    first = stand.cvatd("up")
    assert f"CVAT is ready at {stand.url}" in first.stdout
    assert "cvatd password" in first.stdout
    secret = password(stand)
    assert secret not in first.stdout + first.stderr
    before = starts(stand.containers())
    assert set(before) == {*stand.runner().stack().names, "cvat-init"}

    again = stand.cvatd("up")
    assert "Nothing to do" in again.stdout
    assert starts(stand.containers()) == before

    stand.configure(environment={"DJANGO_LOG_LEVEL": "INFO"})
    backend = {"cvat-server", "cvat-worker-default", "cvat-worker-low", "cvat-worker-chunks"}
    plan = json.loads(stand.cvatd("plan", "--json").stdout)
    assert {change["container"] for change in plan["changes"] if change["action"] != "keep"} == backend
    words = stand.cvatd("plan").stdout
    assert "environment.DJANGO_LOG_LEVEL" in words
    assert starts(stand.containers()) == before
    changed = stand.cvatd("up")
    assert changed.stdout.index("environment.DJANGO_LOG_LEVEL") < changed.stdout.index("CVAT is ready")
    after = starts(stand.containers())
    assert {name for name in after if after[name] != before[name]} == backend

    down = stand.cvatd("down")
    assert str(stand.data_dir) in down.stdout
    assert stand.containers() == {}
    assert not stand.podman.has_network(NETWORK)
    assert "Nothing to do" in stand.cvatd("down").stdout

    stand.cvatd("up")
    assert password(stand) == secret


def test_an_old_release_has_a_container_for_each_queue_and_a_second_up_is_refused(stand: Stand) -> None:
    stand.configure(version="2.21.0", environment={"SLOW_MIGRATION_S": str(LOCK_TIMEOUT_S + 1)})
    first = stand.start("up")
    for line in first.stdout or ():
        if line.startswith("init"):
            break
    second = stand.cvatd("up", check=False)
    assert second.returncode == 3
    assert str(first.pid) in second.stderr
    words, _ = first.communicate(timeout=120)
    assert first.returncode == 0, words
    workers = {container.name: container for container in stand.runner().stack().containers if container.queues}
    assert workers["cvat-worker-import"].command == ["run", "worker.import"]
    running = {name for name, found in stand.containers().items() if found.running}
    assert set(workers) < running
    seen = json.loads(stand.cvatd("queues", "--json").stdout)
    assert {queue["name"] for queue in seen["queues"]} >= set(
        stand.runner().stack().container("cvat-worker-import").queues
    )
    down = stand.start("down")
    assert down.wait(60) == 0
    assert not CGROUP.exists()
