"""services.ts-proxy: names on the tailnet, by our backend or by a module of the host's own."""

from typing import Any

import pytest

from tests.nix.evaluate import ROOT, evaluate

pytestmark = pytest.mark.needs_nixpkgs


@pytest.fixture(scope="module")
def hosts() -> dict[str, Any]:
    found: dict[str, Any] = evaluate(f"import {ROOT}/nix/tests/ts-proxy.nix")
    return found


def served(hosts: dict[str, Any], unit: str) -> str:
    """What tailscale is told to serve: the last line."""
    lines: list[str] = hosts["kinds"]["units"][unit]["postStart"].strip().splitlines()
    return lines[-1].split("tailscaled.sock ", 1)[1]


def test_nothing_is_served_unless_asked(hosts: dict[str, Any]) -> None:
    assert hosts["off"] == {"hosts": {}, "publicUrl": None, "units": {}, "refused": []}


def test_cvat_has_its_name(hosts: dict[str, Any]) -> None:
    found = hosts["ours"]
    assert found["publicUrl"] == "https://cvat.stargazer-shark.ts.net"
    assert found["refused"] == []
    unit = found["units"]["ts-proxy-cvat"]
    assert unit["wantedBy"] == unit["partOf"] == ["cvat.service"]
    assert "--tun=userspace-networking" in unit["execStart"]
    assert unit["user"] is True
    assert not found["hosts"]["cvat"]["enableFunnel"]


def test_the_key_is_never_an_argument(hosts: dict[str, Any]) -> None:
    unit = hosts["ours"]["units"]["ts-proxy-cvat"]
    assert unit["environmentFile"] == "/run/secrets/ts-proxy"
    assert '--auth-key=file:"$key"' in unit["postStart"]
    (using,) = [line for line in unit["postStart"].splitlines() if "TS_AUTHKEY" in line]
    assert using.startswith("printf ")  # the shell's own, no process


def test_cvat_may_stay_off_the_tailnet(hosts: dict[str, Any]) -> None:
    assert hosts["withoutCvat"]["units"] == {}
    assert hosts["withoutCvat"]["publicUrl"] is None


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("ts-proxy-plain", "serve --bg --yes --http=80 http://127.0.0.1:1"),
        ("ts-proxy-secure", "serve --bg --yes --https=8443 http://127.0.0.1:2"),
        ("ts-proxy-public", "funnel --bg --yes --https=443 http://127.0.0.1:3"),
        ("ts-proxy-raw", "serve --bg --yes --tcp=25565 tcp://127.0.0.1:4"),
        ("front", "serve --bg --yes --https=443 unix:/run/web.sock"),
    ],
)
def test_what_is_served(hosts: dict[str, Any], unit: str, words: str) -> None:
    assert served(hosts, unit).replace("'", "") == words


def test_the_name_on_the_tailnet_may_differ(hosts: dict[str, Any]) -> None:
    assert "--hostname=other " in hosts["kinds"]["units"]["ts-proxy-secure"]["postStart"]


def test_units_without_a_service_start_with_the_host(hosts: dict[str, Any]) -> None:
    assert hosts["kinds"]["units"]["ts-proxy-plain"]["wantedBy"] == ["multi-user.target"]


def test_refusals(hosts: dict[str, Any]) -> None:
    (message,) = hosts["noDomain"]["refused"]
    assert "services.ts-proxy.network-domain is not set" in message
    (message,) = hosts["funnelWithoutTls"]["refused"]
    assert "services.ts-proxy.hosts.x.enableFunnel" in message
    assert "Set enableTLS" in message


def test_stands_aside_where_the_host_has_a_module_of_its_own(hosts: dict[str, Any]) -> None:
    found = hosts["elsewhere"]
    assert list(found["units"]) == ["own-proxy-cvat"]
    assert found["hosts"] == {"cvat": {"address": "127.0.0.1:8093", "enableTLS": True, "proxies": ["cvat.service"]}}
    assert found["publicUrl"] == "https://cvat.own.ts.net"
