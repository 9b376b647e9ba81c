"""Nix and Python make the same containers from the same stack.json, whatever is declared."""

import json
from typing import Any

import pytest

from cvatd.core.settings import StackSettings
from cvatd.stack import releases, render
from cvatd.stack.spec import Stack
from tests.nix.evaluate import ROOT, evaluate

pytestmark = pytest.mark.needs_nixpkgs

CASES = [
    "standard", "oldest", "seed", "chunks", "consensus", "grammar", "opa", "newer", "tagged", "images", "address",
    "ipv6", "hostName", "workers", "oneWorker", "oldWorkers", "limits", "database", "share", "environment", "superuser",
    "initial", "extra",
]  # fmt: skip


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """All declarations in one evaluation."""
    found: dict[str, Any] = evaluate(f"import {ROOT}/nix/tests/agreement.nix")
    return found


def python_side(answer: dict[str, Any]) -> tuple[StackSettings, Stack]:
    settings = StackSettings.model_validate(answer["settings"])
    return settings, render.render(settings)


def test_no_declaration_is_left_out(answers: dict[str, Any]) -> None:
    assert sorted(answers) == sorted(CASES)


@pytest.mark.parametrize("case", CASES)
def test_containers(answers: dict[str, Any], case: str) -> None:
    answer = answers[case]
    assert answer["refused"] == []
    _, stack = python_side(answer)
    nix = {container["name"]: container for container in answer["containers"]}
    python = {container.name: json.loads(container.model_dump_json()) for container in stack.containers}
    assert sorted(nix) == sorted(python)
    for name, container in python.items():
        del container["made_with"]  # known on the host alone
        assert nix[name] == container, name


@pytest.mark.parametrize("case", CASES)
def test_order(answers: dict[str, Any], case: str) -> None:
    """Waves of those whose needs came before; within a wave the order says nothing."""
    _, stack = python_side(answers[case])
    assert waves(answers[case]["containers"]) == waves([{"name": c.name, "needs": c.needs} for c in stack.containers])


def waves(containers: list[dict[str, Any]]) -> list[set[str]]:
    found: list[set[str]] = []
    for container in containers:
        if found and not set(container["needs"]) & found[-1]:
            found[-1].add(container["name"])
        else:
            found.append({container["name"]})
    return found


@pytest.mark.parametrize("case", CASES)
def test_version_and_idle_memory(answers: dict[str, Any], case: str) -> None:
    settings, stack = python_side(answers[case])
    assert answers[case]["version"] == stack.version
    workers = render.choose_workers(settings, releases.find(stack.version))
    if releases.find(stack.version).grammar == "many":
        idle = render.idle_bytes(releases.find(stack.version), workers.values(), settings.server_processes)
        assert answers[case]["idle"] == idle


def test_settings_reach_python_whole(answers: dict[str, Any]) -> None:
    settings, _ = python_side(answers["limits"])
    assert settings.manager == "systemd"
    assert settings.limits.memory_max == 8 << 30
    assert settings.limits.cpu_percent == 400
    assert settings.memory_max["cvat-worker-low"] == 104857600
    settings, _ = python_side(answers["superuser"])
    assert str(settings.superuser.password_file) == "/run/secrets/superuser"
