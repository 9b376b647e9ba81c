"""docs/nixos.md is followed from an empty configuration: each declaration evaluates and is not refused."""

import re
from typing import Any

import pytest

from tests.nix.evaluate import ROOT, evaluate

pytestmark = pytest.mark.needs_nixpkgs

PAGE = (ROOT / "docs" / "nixos.md").read_text()
DECLARATIONS = re.findall(r"^```nix\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
# The driver is not free and <nixpkgs> may be told to know none such: its declaration is looked at, not evaluated.
EVALUATED = [text for text in DECLARATIONS if "nvidia" not in text]


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    ask = """ask = configuration: let inherit (host { inherit configuration; }) config; in {
        refused = map (c: c.message) (builtins.filter (c: !c.assertion)
            (config.services.cvat.checks ++ config.services.cvatd.checks));
        url = config.services.cvat.publicUrl;
        units = builtins.attrNames config.systemd.services;
        containers = map (c: c.name) config.services.cvat.rendered.containers;
      };"""
    asked = "\n".join(f"(ask (\n{text}))" for text in EVALUATED)
    found: list[dict[str, Any]] = evaluate(f"let {ask} in [\n{asked}\n]")
    return found


def test_nothing_on_the_page_is_refused(answers: list[dict[str, Any]]) -> None:
    assert len(answers) == len(EVALUATED) == 4
    assert [answer["refused"] for answer in answers] == [[]] * 4


def test_the_units_that_the_page_names_are_there(answers: list[dict[str, Any]]) -> None:
    first, named, training, other = answers
    assert {"cvat", "cvat-init", "cvatd", "podman-cvat-server"} <= set(first["units"])
    assert named["url"] is not None
    assert named["url"] in PAGE
    assert {"ts-proxy-cvat"} <= set(named["units"])
    assert {"cvatd-web", "cvatd-trainer@", "postgresql", "redis-cvatd"} <= set(training["units"])
    assert {"cvat-worker-exports", "cache"} <= set(other["containers"])
    assert "cvat-db" not in other["containers"]


def test_the_ports_on_the_page() -> None:
    assert "127.0.0.1:8093/" in PAGE
    assert "127.0.0.1:46370" in PAGE
