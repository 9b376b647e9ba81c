"""What the answers of the whole tell of each container, of the queues and of the first password. Pure."""

from pathlib import Path

import pytest

from cvatd.core.settings import StackSettings
from cvatd.stack import versions
from cvatd.stack.facts import DatabaseFacts, Facts, HttpFacts, Queue, RedisFacts, Worker
from cvatd.stack.podman import Found
from cvatd.stack.readiness import InitState
from cvatd.stack.render import render
from cvatd.stack.spec import Stack
from cvatd.stack.status import disk, health_of, image_version, initial_password_warning, queues, why_not_ready

DONE = InitState("done", "nothing to do")
CHECKS = {"Cache backend: media": "working", "OPAHealthCheck": "working", "DatabaseBackend": "working"}


@pytest.fixture(scope="module")
def stack() -> Stack:
    return render(StackSettings())


def found(name: str, state: str = "running") -> Found:
    return Found("1" * 64, name, state, "docker.io/x:1", "2" * 64, 7, 0, 1000.0, 1060.0, "{}", True, None)


def workers(stack: Stack, silent_s: float = 1.0) -> list[Worker]:
    return [Worker(c.name, c.queues, "idle", silent_s) for c in stack.containers if c.queues]


def well(stack: Stack, **changes: object) -> Facts:
    parts = {
        "found": {name: found(name) for name in stack.names},
        "database": DatabaseFacts("15.4", frozenset(), {"admin": "mark"}),
        "redis": RedisFacts({}, workers(stack), "image"),
        "http": HttpFacts(200, CHECKS, 200),
    }
    return Facts(**{**parts, **changes})  # type: ignore[arg-type]


def test_of_a_stack_that_is_well_every_container_is_healthy(stack: Stack) -> None:
    seen = well(stack)
    assert why_not_ready(stack, seen, DONE, StackSettings()) == []
    assert {container.name: health_of(container, seen) for container in stack.containers} == dict.fromkeys(
        stack.names, ("healthy", "")
    )


@pytest.mark.parametrize(
    ("container", "changes", "words"),
    [
        ("cvat-db", {"database": DatabaseFacts(fault="away", words="starting up")}, "starting up"),
        ("cvat-redis", {"redis": RedisFacts(fault="LOADING")}, "LOADING"),
        ("cvat-proxy", {"http": HttpFacts(fault="does not answer")}, "does not answer"),
        ("cvat-ui", {"http": HttpFacts(200, CHECKS, 502)}, "502"),
        ("cvat-server", {"http": HttpFacts(502, {}, 200)}, "502"),
        ("cvat-server", {"http": HttpFacts(500, CHECKS | {"DiskUsage": "93 %"}, 200)}, "DiskUsage: 93 %"),
        ("cvat-opa", {"http": HttpFacts(500, CHECKS | {"OPAHealthCheck": "no answer"}, 200)}, "no answer"),
        ("cvat-kvrocks", {"http": HttpFacts(500, CHECKS | {"Cache backend: media": "refused"}, 200)}, "refused"),
        ("cvat-worker-default", {"redis": RedisFacts()}, "0 of 1 workers"),
    ],
)
def test_what_is_wrong_with_one(stack: Stack, container: str, changes: dict[str, object], words: str) -> None:
    health, said = health_of(stack.container(container), well(stack, **changes))
    assert health == "unhealthy"
    assert words in said


@pytest.mark.parametrize("container", ["cvat-ui", "cvat-server", "cvat-opa", "cvat-kvrocks"])
def test_what_cannot_be_seen_is_not_called_healthy(stack: Stack, container: str) -> None:
    seen = well(stack, http=HttpFacts(fault="the proxy is away"))
    assert health_of(stack.container(container), seen) == ("unknown", "")


def test_workers_are_unknown_without_redis(stack: Stack) -> None:
    assert health_of(stack.container("cvat-worker-low"), well(stack, redis=RedisFacts(fault="away")))[0] == "unknown"


def test_a_silent_worker_is_none(stack: Stack) -> None:
    redis = RedisFacts({}, workers(stack, silent_s=500.0))
    assert all(queue.workers == 0 and queue.lacks for queue in queues(stack, redis))


def test_queues_are_those_declared_and_those_that_are_there(stack: Stack) -> None:
    seen = queues(stack, RedisFacts({"import": Queue(3, 1, 2), "left-over": Queue(5, 0, 0)}, workers(stack)))
    by_name = {queue.name: queue for queue in seen}
    assert (by_name["import"].queued, by_name["import"].started, by_name["import"].failed) == (3, 1, 2)
    assert by_name["import"].container == "cvat-worker-default"
    assert (by_name["left-over"].container, by_name["left-over"].workers) == (None, 0)
    assert by_name["chunks"].lacks == ""
    assert len(seen) == len(by_name)


def test_nothing_runs_is_one_sentence(stack: Stack) -> None:
    seen = well(stack, found={"cvat-db": found("cvat-db", "exited"), "foreign": found("foreign")})
    assert why_not_ready(stack, seen, DONE, StackSettings()) == ["no container runs; `cvatd up` starts CVAT"]
    assert why_not_ready(stack, seen, DONE, StackSettings(manager="systemd")) == [
        "no container runs; `systemctl start cvat.service` starts CVAT"
    ]


@pytest.mark.parametrize(
    ("initial", "made_as", "now", "warns"),
    [
        ("admin", "mark", "mark", True),
        ("admin", "mark", "another", False),
        (None, "mark", "mark", False),
        ("admin", None, "mark", False),
    ],
)
def test_the_initial_password_is_warned_of_until_it_is_changed(
    tmp_path: Path, initial: str | None, made_as: str | None, now: str, warns: bool
) -> None:
    settings = StackSettings(data_dir=tmp_path, superuser={"initial_password": initial})  # type: ignore[arg-type]
    (tmp_path / "state").mkdir()
    if made_as:
        versions.record_initial_superuser(settings, "admin", made_as)
    said = initial_password_warning(settings, DatabaseFacts(superusers={"admin": now}))
    assert bool(said) == warns
    assert all("admin'" in words and "rotate" in words for words in said)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("docker.io/cvat/server:v2.80.0", "2.80.0"),
        ("docker.io/library/postgres:15-alpine", "15-alpine"),
        ("localhost:5000/x", None),
        ("localhost:5000/x:dev", "dev"),
        ("x@sha256:abc", None),
    ],
)
def test_the_version_of_an_image(image: str, version: str | None) -> None:
    assert image_version(image) == version


def test_disk(tmp_path: Path) -> None:
    seen = disk(tmp_path)
    assert seen is not None
    assert 0 < seen.used_percent < 100
    assert 0 < seen.free < seen.total
    assert disk(tmp_path / "absent") is None
