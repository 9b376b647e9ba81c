"""The units as NixOS evaluates them, under a real systemd and a real Podman: start, init, limits, change, stop."""

import json
import time
from pathlib import Path

import pytest

from cvatd.stack.facts import MARK_KEY
from tests.e2e.nix.declaration import declare
from tests.e2e.nix.machine import Machine
from tests.nix.evaluate import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.needs_nixpkgs]

START_TIMEOUT_S = 240
STOP_TIMEOUT_S = 120
READY_TIMEOUT_S = 60
MENDED_TIMEOUT_S = 40
MB = 1 << 20
MEMORY = "/sys/fs/cgroup/memory/cvat.slice"
ASK = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8093/api/server/about', timeout=5).status)"
ASK_DAEMON = """import json, pathlib
from cvatd.core.local_socket import get
print(json.dumps(get(pathlib.Path("/run/cvatd/daemon.sock"), "/status", 10)))"""
PYTHON = str(ROOT / ".venv" / "bin" / "python")
GREEDY = "x = bytearray(150 << 20); import time; time.sleep(60)"


@pytest.fixture(scope="module")
def running(machine: Machine) -> Machine:
    """With CVAT up, and before it the daemon, as a host boots. The tests go on where the one before ended."""
    machine.switch(declare())
    machine.systemctl("start", "cvatd.service")
    assert machine.containers() == {}  # it watches what people start
    done = machine.run("systemctl", "start", "cvat.service", check=False, timeout_s=START_TIMEOUT_S)
    units = machine.systemctl("list-units", "--all", "--failed", "--plain", "--no-legend")
    why = machine.explain("cvat.service", "cvat-init.service", "cvat-ready.service")
    assert done.returncode == 0, f"{done.stderr}\n{units}\n{why}"
    return machine


def container_units(machine: Machine) -> list[str]:
    return machine.systemctl("show", "--property=Wants", "--value", "cvat.target").split()


def test_one_command_brings_all_up(running: Machine) -> None:
    units = container_units(running)
    assert len(units) == 10
    assert running.systemctl("is-active", *units).split() == ["active"] * 10
    states = {name: container["State"] for name, container in running.containers().items()}
    assert states.pop("cvat-init") == "exited"  # the container of the migrations
    assert set(states.values()) == {"running"}
    assert running.run("python3", "-c", ASK).stdout.strip() == "200"  # at once: the start ended when CVAT was ready


def test_it_was_initialised_in_between(running: Machine) -> None:
    assert "initialised" in running.explain("cvat-init.service")
    running.systemctl("start", "cvat-init.service")
    assert "Nothing to do" in running.explain("cvat-init.service")
    password = Path("/var/lib/cvat/secrets/superuser-password")
    assert running.run("stat", "--format=%a", str(password)).stdout.strip() == "400"


def test_a_start_of_what_does_not_become_ready_fails_and_says_why(running: Machine) -> None:
    """All containers run, and init is needed: Redis was emptied. With `autoInit` that start would see to it."""
    running.switch(declare(autoInit="false", readyTimeout="2"))
    running.run("podman", "exec", "cvat-redis", "redis-cli", "del", MARK_KEY)
    start = 'sh -c "$(sed -n s/^ExecStart=//p /run/systemd/system/cvat.service)"'
    refused = running.run("sh", "-c", start, check=False, timeout_s=START_TIMEOUT_S)
    assert refused.returncode == 1
    assert "journalctl --unit=cvat-ready.service" in refused.stderr
    assert running.systemctl("is-failed", "cvat-ready.service") == "failed"
    assert "CVAT was not ready within 2 s:" in (why := running.explain("cvat-ready.service"))
    assert "init is needed: Redis does not remember" in why
    running.systemctl("start", "cvat-init.service", timeout_s=START_TIMEOUT_S)
    running.switch(declare())
    running.systemctl("start", "cvat-ready.service", timeout_s=START_TIMEOUT_S)


def test_every_process_is_in_the_slice(running: Machine) -> None:
    """Also those that hold the containers, and those that the containers' own processes started."""
    script = 'for c in /proc/[0-9]*/cgroup; do grep -h ":memory:\\|:[^:]*,memory:" "$c" 2>/dev/null; done; true'
    paths = [line.split(":", 2)[2] for line in running.run("sh", "-c", script).stdout.splitlines()]
    of_containers = [path for path in paths if "libpod" in path or "podman-cvat" in path]
    assert len(of_containers) > 20
    assert [path for path in of_containers if not path.startswith("/cvat.slice/")] == []
    for container in running.containers().values():
        assert not container["Pid"] or running.cgroup(container["Pid"]).startswith("/cvat.slice/libpod-")


def test_the_limits_are_the_declared_ones(running: Machine) -> None:
    limit = running.run("cat", f"{MEMORY}/memory.limit_in_bytes").stdout
    assert int(limit) == 2048 * MB
    quota = running.run("cat", "/sys/fs/cgroup/cpu/cvat.slice/cpu.cfs_quota_us").stdout
    assert int(quota) == 400_000


def test_the_daemon_watches_them(running: Machine) -> None:
    """Its own answer, by its socket."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not (status := json.loads(running.run(PYTHON, "-c", ASK_DAEMON).stdout))["ready"]:
        assert time.monotonic() < deadline, status["reasons"]
        time.sleep(0.5)
    assert {container["state"] for container in status["containers"]} == {"running"}
    assert running.systemctl("show", "--property=NRestarts", "--value", "cvatd.service") == "0"


def test_systemd_mends_a_container_and_nobody_else_is_restarted(running: Machine) -> None:
    before = running.containers()
    running.run("podman", "kill", "cvat-redis")
    deadline = time.monotonic() + MENDED_TIMEOUT_S
    while (found := running.containers().get("cvat-redis")) is None or found["Id"] == before["cvat-redis"]["Id"]:
        assert time.monotonic() < deadline, running.explain("podman-cvat-redis.service")
        time.sleep(0.5)
    after = running.containers()
    assert {name for name in before if after[name]["Id"] != before[name]["Id"]} == {"cvat-redis"}


def test_one_changed_option_restarts_only_what_it_must(running: Machine) -> None:
    """As NixOS does: the units whose text changed."""
    changed = declare(workers="{ low.processes = 2; }")
    before = declare()
    units = [
        file.name
        for file in (changed / "units").iterdir()
        if file.read_text() != (before / "units" / file.name).read_text()
    ]
    # The daemon reads the settings, and stands outside of CVAT.
    assert sorted(units) == ["cvatd.service", "podman-cvat-worker-low.service"]
    ids = {name: container["Id"] for name, container in running.containers().items()}
    running.switch(changed)
    running.systemctl("restart", "podman-cvat-worker-low.service", timeout_s=STOP_TIMEOUT_S)
    now = {name: container["Id"] for name, container in running.containers().items()}
    assert {name for name in ids if ids[name] != now[name]} == {"cvat-worker-low"}
    made = json.loads(running.run("podman", "inspect", "cvat-worker-low").stdout)[0]
    assert "NUMPROCS=2" in made["Config"]["Env"]
    # Its entry point waits for the stores first, and a shell that waits hears no SIGTERM: the stop would last 30 s.
    deadline = time.monotonic() + READY_TIMEOUT_S
    while "supervisord" not in running.run("podman", "top", "cvat-worker-low", "args", check=False).stdout:
        assert time.monotonic() < deadline, running.explain("podman-cvat-worker-low.service")
        time.sleep(0.2)


def test_one_command_stops_all_and_leaves_nothing(running: Machine) -> None:
    running.systemctl("stop", "cvat.service", timeout_s=STOP_TIMEOUT_S)
    assert running.containers() == {}
    networks = running.run("podman", "network", "ls", "--format", "{{.Name}}").stdout.split()
    assert "cvat-network" not in networks
    left = running.systemctl("list-units", "--state=active,failed", "--plain", "--no-legend", "podman-*cvat*", "cvat.*")
    assert [line.split()[0] for line in left.splitlines()] in ([], ["cvat.slice"])


def test_two_greedy_containers_are_bounded_together(machine: Machine) -> None:
    """Each alone would fit. The unit's slice alone would bound neither: what counts is Podman's cgroup parent."""
    machine.switch(declare(memoryMax='"200M"'))
    machine.systemctl("start", "cvat.slice")
    machine.write(f"{MEMORY}/memory.max_usage_in_bytes", "0")  # what it was is forgotten
    image = json.loads(machine.run("podman", "images", "--format", "json").stdout)
    server = next(name for entry in image for name in entry["Names"] or [] if name.startswith("docker.io/cvat/server:"))
    for name in ("greedy-one", "greedy-two"):
        machine.run(
            *("podman", "run", "--detach", "--name", name, "--network=none", "--cgroup-parent=cvat.slice"),
            *("--entrypoint", "python3", server, "-c", GREEDY),
        )
    deadline = time.monotonic() + MENDED_TIMEOUT_S
    while not (killed := [name for name, found in machine.containers().items() if found["ExitCode"] == 137]):
        assert time.monotonic() < deadline, machine.containers()
        time.sleep(0.2)
    assert killed
    usage = machine.run("cat", f"{MEMORY}/memory.max_usage_in_bytes").stdout
    assert int(usage) <= 200 * MB
    machine.run("podman", "rm", "--force", "--all", "--time", "0")
