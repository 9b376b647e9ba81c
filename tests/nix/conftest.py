"""Tests of the Nix side run wherever Nix and <nixpkgs> are, and say so where they are not."""

import pytest

from tests.nix.evaluate import nixpkgs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if nixpkgs() is not None:
        return
    for item in items:
        if item.get_closest_marker("needs_nixpkgs"):
            item.add_marker(pytest.mark.skip(reason="no <nixpkgs>"))
