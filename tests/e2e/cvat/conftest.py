"""A whole CVAT stack on real Podman."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import podman_host as podman_module
from tests.e2e.cvat import stand as stand_module
from tests.e2e.cvat.stand import Stand
from tests.images import build
from tests.podman_host import PodmanHost

HERE = Path(__file__).parent


class Standing:
    """The one stack that is kept from test to test; whoever needs the names for another stack puts it aside."""

    def __init__(self, host: PodmanHost) -> None:
        self._host = host
        self._stand: Stand | None = None
        self._up = False

    def get(self) -> Stand:
        if self._stand is None:
            self._stand = Stand(self._host)
        if not self._up:
            stand_module.clear(self._host)
            self._stand.up()
            self._up = True
        self._stand.wait_until_it_answers()
        return self._stand

    def put_aside(self) -> None:
        self._up = False
        if self._stand is not None:
            self._stand.take_down()

    def close(self) -> None:
        if self._stand is not None:
            self._stand.close()


@pytest.fixture(scope="session")
def podman_host() -> Iterator[PodmanHost]:
    """A running Podman with all images, and nothing else."""
    reason = podman_module.missing() or build.missing()
    if reason:
        pytest.skip(reason)
    host = PodmanHost()
    host.start()
    try:
        stand_module.clear(host)
        build.ensure(host)
        yield host
        stand_module.clear(host)
    finally:
        host.stop()


@pytest.fixture(scope="session")
def kept(podman_host: PodmanHost) -> Iterator[Standing]:
    """For the two fixtures below."""
    standing = Standing(podman_host)
    yield standing
    standing.close()


@pytest.fixture
def standing(kept: Standing, podman_host: PodmanHost) -> Stand:
    """A stack that is up and initialised, for tests that read, or that put back what they change."""
    podman_host.revive()
    return kept.get()


@pytest.fixture
def stand(kept: Standing, podman_host: PodmanHost) -> Iterator[Stand]:
    """A fresh data folder and settings; nothing runs."""
    podman_host.revive()
    kept.put_aside()
    made = Stand(podman_host)
    try:
        yield made
    finally:
        made.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that share the standing stack first, so that it is brought up once."""
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    if ours:
        in_order = iter(sorted(ours, key=lambda item: "standing" not in getattr(item, "fixturenames", ())))
        items[:] = [next(in_order) if item.path.is_relative_to(HERE) else item for item in items]
