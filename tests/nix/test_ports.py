"""networking.ports: the rule, the same in Nix and Python, and what is refused."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.core.ports import HIGHEST, LOWEST, port_of
from tests.nix.evaluate import ROOT, evaluate


def test_the_port_that_users_of_the_rule_know() -> None:
    assert port_of("cvat") == 8093


@given(st.text())
def test_every_key_gives_a_port_of_a_user_or_none(key: str) -> None:
    port = port_of(key)
    assert port is None or LOWEST <= port <= HIGHEST


def test_a_key_whose_first_digits_are_too_high_moves_on() -> None:
    moved = [key for key in map(str, range(100)) if port_of(key) not in {None, _group(key, 0)}]
    assert moved
    assert all(port_of(key) in {_group(key, n) for n in range(1, 8)} for key in moved)


def _group(key: str, n: int) -> int:
    return int(hashlib.md5(key.encode()).hexdigest()[4 * n : 4 * n + 4], 16)


@pytest.mark.needs_nixpkgs
def test_nix_and_python_agree() -> None:
    keys = ["cvat", "cvatd", "", "é", 'a"b', "${x}", "\\", *(f"service-{n}" for n in range(1000))]
    expression = f"map (import {ROOT}/nix/lib/port-of.nix {{ lib = import <nixpkgs/lib>; }}) keys"
    assert evaluate(expression, keys=keys) == [port_of(key) for key in keys]


@pytest.fixture(scope="module")
def hosts() -> dict[str, Any]:
    """Several hosts in one evaluation."""
    found: dict[str, Any] = evaluate(f"import {ROOT}/nix/tests/ports.nix")
    return found


@pytest.mark.needs_nixpkgs
def test_a_declared_port(hosts: dict[str, Any]) -> None:
    assert hosts["declared"] == {"ports": {"cvat": 8093}, "failed": []}


@pytest.mark.needs_nixpkgs
@pytest.mark.parametrize("host", ["colliding", "set"])
def test_a_collision_names_both(hosts: dict[str, Any], host: str) -> None:
    (message,) = hosts[host]["failed"]
    assert "networking.ports.one and networking.ports.two have the same port" in message
    assert str(hosts[host]["ports"]["one"]) in message


@pytest.mark.needs_nixpkgs
def test_what_is_not_enabled_takes_no_port(hosts: dict[str, Any]) -> None:
    assert hosts["disabled"]["failed"] == []


@pytest.mark.needs_nixpkgs
def test_stands_aside_where_the_host_declares_ports_itself(hosts: dict[str, Any]) -> None:
    assert hosts["elsewhere"] == {"ports": {"cvat": 4711}, "failed": []}
