"""One machine for all tests of this folder: each module lays down its own declaration and leaves nothing running."""

from collections.abc import Iterator

import pytest

from tests import podman_host as podman_module
from tests.e2e.nix.declaration import declare
from tests.e2e.nix.machine import Machine
from tests.images import build
from tests.nix.evaluate import nixpkgs
from tests.podman_host import PodmanHost


@pytest.fixture(scope="package")
def machine() -> Iterator[Machine]:
    """Booted, with our units, nothing started.

    Of the tests' Podman only the store is used: a stack that other tests keep up there is not touched.
    """
    reason = podman_module.missing() or build.missing() or (None if nixpkgs() else "no <nixpkgs>")
    if reason:
        pytest.skip(reason)
    host = PodmanHost()
    build.ensure(host)
    made = Machine(host, declare())
    try:
        yield made
    finally:
        made.close()
