"""The units of a host that declares everything: what they say, and what systemd says to them."""

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cvatd.core.settings import load_settings
from tests.nix import golden
from tests.nix.evaluate import ROOT, evaluate, realise, verify

pytestmark = pytest.mark.needs_nixpkgs

SECURITY_TIMEOUT_S = 30
# Units of ordinary users and those without Podman's socket stay below 2; the daemon has the socket.
MOST_EXPOSED = {
    "cvat-secrets.service": 2.0,
    "cvat-init.service": 2.0,
    "cvat-ready.service": 2.0,
    "cvatd-migrate.service": 2.0,
    "cvatd-trainer@.service": 2.0,
    "cvatd-web.service": 2.0,
    "cvatd.service": 3.0,
    "ts-proxy-cvat.service": 2.0,
}


@cache
def host() -> dict[str, Any]:
    names = "texts wanted settings tmpfiles ident containers rendered serves"
    found: dict[str, Any] = evaluate(f"let u = import {ROOT}/nix/tests/units.nix {{ }}; in {{ inherit (u) {names}; }}")
    return found


def unit(name: str) -> dict[str, list[str]]:
    """The settings of a unit, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in host()["texts"][name].splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found.setdefault(key, []).append(value)
    return found


def words(name: str, key: str) -> set[str]:
    return set(" ".join(unit(name).get(key, [])).split())


def container_units() -> list[str]:
    return [f"podman-{name}.service" for name in host()["containers"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as files, with every script that they name."""
    built = realise(f"(import {ROOT}/nix/tests/units.nix {{ }}).folder")
    units = tmp_path_factory.mktemp("units")
    for file in built.iterdir():
        shutil.copy(file, units / file.name)
    return units


def test_systemd_has_nothing_against_them(folder: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    assert verify(folder) == []


def test_systemd_does_object_to_a_bad_one(folder: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    (tmp_path / "bad.service").write_text("[Service]\nExecStart=/nonexistent\nRestartsec=often\n")
    assert verify(tmp_path)


@pytest.mark.parametrize("name", MOST_EXPOSED)
def test_exposure(folder: Path, name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:/usr/lib/systemd/system"}
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(folder / name)],
        capture_output=True,
        text=True,
        timeout=SECURITY_TIMEOUT_S,
        env=environment,
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSED[name]


def test_units_as_reviewed() -> None:
    """`python -m tests.nix.golden` writes the file anew; read the difference before it is committed."""
    expected = golden.GOLDEN.read_text()
    if f"oci-containers.nix {golden.made_with()}" not in expected:
        pytest.skip("the golden file was made with another <nixpkgs>")
    assert golden.render(host()["texts"]) == expected


def test_every_container_is_held_by_the_slice() -> None:
    for name, container in host()["containers"].items():
        assert "--cgroup-parent=cvat.slice" in container["extraOptions"], name
        assert unit(f"podman-{name}.service")["Slice"] == ["cvat.slice"]
    limits = unit("cvat.slice")
    assert limits["CPUQuota"] == ["100%"]
    assert limits["MemoryHigh"] == ["1800M"]
    assert limits["MemoryMax"] == ["2048M"]


def test_trainings_are_held_beside_cvat() -> None:
    assert unit("cvatd-trainer@.service")["Slice"] == ["cvatd-training.slice"]
    assert unit("cvatd-training.slice")["MemoryMax"] == ["32G"]


def test_containers_are_told_what_was_rendered() -> None:
    assert sorted(host()["containers"]) == sorted(container["name"] for container in host()["rendered"])
    for rendered in host()["rendered"]:
        told = host()["containers"][rendered["name"]]
        assert told["cmd"] == rendered["command"]
        assert told["image"] == rendered["image"]
        assert told["environment"] == rendered["environment"]
        assert told["hostname"] == rendered["name"]
        assert told["labels"] == {"cvatd.stack": "cvat-network"}
        assert told["volumes"] == [
            f"{mount['source']}:{mount['target']}{':ro' if mount['read_only'] else ''}" for mount in rendered["mounts"]
        ] + [f"/var/lib/cvat/secrets/{secret}:/run/secrets/{secret}:ro" for secret in rendered["secrets"]]
        for alias in rendered["aliases"]:
            assert f"--network-alias={alias}" in told["extraOptions"]
        assert ("--init" in told["extraOptions"]) == rendered["init"]


def test_health_is_asked_inside_of_the_container() -> None:
    for rendered in host()["rendered"]:
        flags = dict(
            flag.split("=", 1) for flag in host()["containers"][rendered["name"]]["extraOptions"] if "=" in flag
        )
        health = rendered["health"]
        if health is None or health["inside"]:
            assert "--health-cmd" not in flags
        else:
            assert json.loads(flags["--health-cmd"]) == health["exec"]
            assert flags["--health-start-period"] == f"{health['start_s']}s"


def test_only_the_proxy_is_published_and_on_loopback() -> None:
    ports = {name: container["ports"] for name, container in host()["containers"].items() if container["ports"]}
    assert ports == {"cvat-proxy": ["127.0.0.1:8093:8080"]}


def test_a_limit_of_one_container_counts_swap() -> None:
    options = host()["containers"]["cvat-server"]["extraOptions"]
    assert {"--memory=1073741824", "--memory-swap=1073741824"} <= set(options)


def test_order() -> None:
    for rendered in host()["rendered"]:
        name = f"podman-{rendered['name']}.service"
        needs = {f"podman-{need}.service" for need in rendered["needs"]}
        assert needs <= words(name, "After")
        assert needs <= words(name, "Wants")
        # A store that restarts must not take the server with it.
        assert not needs & words(name, "Requires")
        assert {"podman-network-cvat-network.service", "cvat-secrets.service"} <= words(name, "Requires")
        assert ("cvat-init.service" in words(name, "After")) == rendered["initialised"]
    stores = {f"podman-cvat-{store}.service" for store in ("db", "redis", "kvrocks")}
    assert stores <= words("cvat-init.service", "After")


def test_stop_reaches_all_and_nothing_starts_at_boot() -> None:
    for name in container_units():
        assert {"cvat.service", "cvat.target"} <= words(name, "PartOf")
        assert host()["wanted"][name] == ["cvat.target"]
    assert host()["wanted"]["cvat.service"] == []
    assert host()["wanted"]["cvat.target"] == []
    # A target comes after what it is part of: cvat.service, which waits for the target, would wait for ever.
    assert "PartOf" not in unit("cvat.target")


def test_starts_are_bounded() -> None:
    for name in container_units():
        settings = unit(name)
        assert settings["Restart"] == ["always"]
        assert settings["RestartSec"] == ["5s"]
        assert settings["StartLimitIntervalSec"] == ["600"]
        assert settings["StartLimitBurst"] == ["10"]
        assert settings["TimeoutStartSec"] == ["5520s"]  # allows for pulls, and has an end


def test_stores_get_their_time_to_stop() -> None:
    assert unit("podman-cvat-db.service")["TimeoutStopSec"] == ["90s"]
    assert "--stop-signal=SIGINT" in host()["containers"]["cvat-db"]["extraOptions"]


def test_own_units_run_as_an_ordinary_user_without_podman() -> None:
    for name in ("cvatd-web.service", "cvatd-trainer@.service", "cvatd-migrate.service"):
        assert unit(name)["User"] == ["cvatd"]
        assert unit(name)["CapabilityBoundingSet"] == [""]
        assert "podman.socket" not in host()["texts"][name]
    assert unit("cvatd-web.service")["LoadCredential"] == ["signing-key:/run/secrets/cvatd-signing-key"]


def test_trainers() -> None:
    wants = words("cvatd-trainers.target", "Wants")
    assert wants == {"cvatd-trainer@1.service", "cvatd-trainer@2.service"}
    generator = "nvidia-container-toolkit-cdi-generator.service"
    assert generator in words("cvatd-trainer@.service", "After")
    assert "char-nvidia rw" in unit("cvatd-trainer@.service")["DeviceAllow"]


def test_cvatd_understands_its_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(host()["settings"]))
    monkeypatch.setenv("CVATD_CONFIG", str(file))
    settings = load_settings()
    assert settings.stack.manager == "systemd"
    assert settings.stack.version == "2.52.0"
    assert settings.stack.public_url == "https://cvat.stargazer-shark.ts.net"
    assert settings.public_url == "https://cvatd.stargazer-shark.ts.net"
    assert settings.port == 46370


def test_root_may_sign_in_at_our_database() -> None:
    assert ["cvatd", "root", "cvatd"] in [line.split() for line in host()["ident"].splitlines()]


def test_the_tailnet_serves_both_names() -> None:
    cvat = host()["serves"]["cvat"]
    assert (cvat["address"], cvat["enableTLS"], cvat["enableFunnel"]) == ("127.0.0.1:8093", True, False)
    assert cvat["proxies"] == ["cvat.service"]
    assert host()["wanted"]["ts-proxy-cvat.service"] == ["cvat.service"]
    assert unit("ts-proxy-cvat.service")["StateDirectory"] == ["ts-proxy-cvat"]
    assert words("ts-proxy-cvat.service", "PartOf") == {"cvat.service"}
