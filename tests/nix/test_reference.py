"""Each option is described, and docs/options.md says what the modules say."""

from typing import Any

import pytest

from tests.nix import reference

pytestmark = pytest.mark.needs_nixpkgs

# Of lib.mkEnableOption and lib.mkPackageOption, whose words are nixpkgs' own.
WITHOUT_EXAMPLE = ("serverImage", "uiImage", "package")


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return reference.ask()


def test_the_seed_s_names_are_there(found: dict[str, Any]) -> None:
    names = {option["name"] for option in found["options"]}
    for name in ("enable", "dataDir", "port", "serverImage", "uiImage", "resources.cpuQuota", "resources.memoryMax"):
        assert f"services.cvat.{name}" in names
    assert "services.ts-proxy.network-domain" in names
    assert "networking.ports.<name>.port" in names


def test_each_option_says_what_it_is(found: dict[str, Any]) -> None:
    for option in found["options"]:
        assert option["description"], option["name"]
        assert option["type"], option["name"]
        if not option["name"].endswith(WITHOUT_EXAMPLE):
            assert option["example"] is not None, option["name"]


def test_the_page_is_that_of_the_modules(found: dict[str, Any]) -> None:
    """`python -m tests.nix.reference` writes it anew."""
    page = reference.FILE.read_text()
    if f"lib {found['version']})" not in page:
        pytest.skip("docs/options.md was made with another <nixpkgs>")
    assert reference.render(found) == page
