"""What single options of services.cvat change in the host, and that they change nothing else that is asked."""

from typing import Any

import pytest

from tests.nix.evaluate import ROOT, evaluate

pytestmark = pytest.mark.needs_nixpkgs

INIT = "cvat-init.service"


@pytest.fixture(scope="module")
def hosts() -> dict[str, Any]:
    found: dict[str, Any] = evaluate(f"import {ROOT}/nix/tests/options-matrix.nix")
    return found


def changed(hosts: dict[str, Any], host: str) -> set[str]:
    """Which of the answers differ from a host that only enables CVAT."""
    return {key for key, value in hosts[host].items() if value != hosts["standard"][key]}


def test_standard(hosts: dict[str, Any]) -> None:
    host = hosts["standard"]
    assert host["cvatWantedBy"] == []
    assert host["ports"] == ["127.0.0.1:8093:8080"]
    assert 8093 not in host["tcp"]
    assert host["bridges"] == {"podman+": [53]}
    assert host["folder"] == ["/var/lib/cvat"]
    assert host["secrets"] == {"ProtectHome": True, "ReadWritePaths": ["-/var/lib/cvat"]}
    assert INIT in host["serverWants"]
    assert {"CPUQuota": "100%", "MemoryHigh": "1800M", "MemoryMax": "2048M"}.items() <= host["slice"].items()


def test_auto_start(hosts: dict[str, Any]) -> None:
    assert changed(hosts, "autoStart") == {"cvatWantedBy"}
    assert hosts["autoStart"]["cvatWantedBy"] == ["multi-user.target"]


def test_without_auto_init(hosts: dict[str, Any]) -> None:
    assert changed(hosts, "noInit") == {"serverWants"}
    assert INIT not in hosts["noInit"]["serverWants"]


def test_open_firewall(hosts: dict[str, Any]) -> None:
    assert changed(hosts, "open") == {"ports", "tcp"}
    assert hosts["open"]["ports"] == ["0.0.0.0:8093:8080"]
    assert 8093 in hosts["open"]["tcp"]


def test_bridges_are_named_as_the_firewall_in_force_names_them(hosts: dict[str, Any]) -> None:
    assert hosts["nftables"]["bridges"] == {"podman*": [53]}


def test_a_data_folder_in_a_home_can_be_reached(hosts: dict[str, Any]) -> None:
    secrets = hosts["inHome"]["secrets"]
    assert secrets == {"ProtectHome": "read-only", "ReadWritePaths": ["-/home/cvat/data/"]}
    assert hosts["inHome"]["folder"] == ["/home/cvat/data"]


def test_a_secret_in_root_s_home_can_be_read(hosts: dict[str, Any]) -> None:
    assert changed(hosts, "secretInRoot") == {"secrets"}
    assert hosts["secretInRoot"]["secrets"]["ProtectHome"] == "read-only"


def test_an_external_database(hosts: dict[str, Any]) -> None:
    assert set(hosts["standard"]["containers"]) - set(hosts["external"]["containers"]) == {"cvat-db"}
    assert "podman-cvat-db.service" not in hosts["external"]["serverWants"]
    # Its init asks it directly; that of one in a container goes by Podman's socket alone.
    assert hosts["standard"]["initReaches"] == {"RestrictAddressFamilies": ["AF_UNIX"], "denied": "any"}
    assert hosts["external"]["initReaches"] == {
        "RestrictAddressFamilies": ["AF_UNIX", "AF_INET", "AF_INET6"],
        "denied": None,
    }


def test_limits(hosts: dict[str, Any]) -> None:
    assert {"CPUQuota": "250%", "MemoryHigh": "3G", "MemoryMax": "4G"}.items() <= hosts["limits"]["slice"].items()


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("tight", "services.cvat.resources.memoryMax is 600 MB"),
        ("plain", "services.cvat.superuser.initialPassword stands in the Nix store"),
        ("mixed", "services.cvat.uiImage is of 2.51.0 and the server of 2.52.0"),
    ],
)
def test_warnings(hosts: dict[str, Any], host: str, words: str) -> None:
    assert any(words in warning for warning in hosts[host]["warnings"])
    assert not any(words in warning for warning in hosts["standard"]["warnings"])


def test_a_change_of_cvat_stops_no_training(hosts: dict[str, Any]) -> None:
    assert len(hosts["trains"]["triggers"]) == 3
    assert hosts["trainsBesideMore"]["triggers"] == hosts["trains"]["triggers"]
    assert hosts["trainsElsewhere"]["triggers"] != hosts["trains"]["triggers"]


def test_a_pull_has_its_time(hosts: dict[str, Any]) -> None:
    assert changed(hosts, "pull") == {"startTimeout"}
    assert hosts["pull"]["startTimeout"] == "1920s"
