"""nginx with a server and a UI behind it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.stack.proxy.servers import NGINX, Proxy, Upstream, echo, running


@dataclass(frozen=True)
class Site:
    proxy: Proxy
    server: Upstream
    ui: Upstream


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/stack/proxy" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(60))
            if NGINX is None:
                item.add_marker(pytest.mark.skip(reason="no nginx on this machine"))


@pytest.fixture(scope="session")
def shared_site() -> Iterator[Site]:
    with running() as proxy:
        yield Site(proxy, proxy.add("cvat-server"), proxy.add("cvat-ui"))


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """A proxy whose upstreams tell what they saw."""
    yield shared_site
    for upstream in (shared_site.server, shared_site.ui):
        upstream.answer = echo
        upstream.requests.clear()
