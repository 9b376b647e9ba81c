"""The daemon over real Podman: small containers under CVAT's names, ended in all the ways that there are."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cvatd.core import local_socket
from cvatd.core.errors import CvatdError
from cvatd.stack import releases, wishes
from cvatd.stack.daemon.ends import TOLD
from cvatd.stack.spec import Container, Health
from tests.e2e.cvat.stand import CVATD, NETWORK, Stand
from tests.e2e.cvat.test_doctor import doctor, text
from tests.podman_host import ROOT
from tests.stack.daemon.test_metrics import parsed
from tests.stack.daemon.test_server import call

pytestmark = pytest.mark.e2e

PATIENCE_S = 60.0
POLL_S = 0.1
# Longer than the daemon of these tests takes to start what died.
LEFT_ALONE_S = 4.0
UI, OPA, PROXY = "cvat-ui", "cvat-opa", "cvat-proxy"
WELL = "trap 'exit 0' TERM; touch /tmp/well; while :; do sleep 0.1; done"
DYING = "sleep 0.3; exit 3"


class Watched:
    """A stand with a few small containers that are up, and a daemon that may be started and ended."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        runner = stand.runner()
        with runner.exclusive():
            runner.prepare()
            wishes.set_up(stand.settings)
            stand.podman.ensure_network(NETWORK)
        self.process: subprocess.Popen[str] | None = None

    def run(self, name: str, script: str = WELL, health: Health | None = None, needs: list[str] | None = None) -> None:
        container = Container(
            name=name,
            image=releases.find(releases.newest()).images["redis"],
            command=["sh", "-c", script],
            environment={},
            secrets=[],
            mounts=[],
            aliases=[],
            publish=[],
            needs=needs or [],
            health=health,
            initialised=False,
            init=False,
            stop_s=2,
            stop_signal=None,
        )
        runner = self.stand.runner()
        self.stand.podman.create(container, NETWORK, runner.parent.argument, self.stand.data_dir / "secrets")
        self.stand.podman.start(name)

    def keep(self) -> None:
        """Start the daemon and wait until it has looked."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.cvat.daemon_process"],
            cwd=ROOT,
            env=self.stand.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.stand.folder / "daemon.log").open("a"),
            text=True,
        )
        self.until(lambda: self.health()["last_look_age_s"] is not None)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def ask(self, path: str) -> Any:
        return local_socket.get(self.stand.settings.socket, path, 20)

    def health(self) -> Any:
        """Also of a daemon that says that Podman is away."""
        try:
            body = fetch(self.stand, "/health")
        except OSError:
            body = ""
        return json.loads(body or '{"last_look_age_s": null, "containers": {}}')

    def says(self, name: str) -> str:
        return str(self.health()["containers"].get(name, {}).get("says", ""))

    def restarts(self, name: str) -> int:
        return int(self.health()["containers"][name]["restarts"])

    def running(self, name: str) -> bool:
        found = self.stand.containers().get(name)
        return found is not None and found.running

    def kill(self, name: str) -> None:
        """As the kernel would, and no person with Podman."""
        os.kill(self.stand.containers()[name].pid, signal.SIGKILL)
        self.until(lambda: not self.running(name))

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline, (self.stand.folder / "daemon.log").read_text()[-4000:]
            time.sleep(POLL_S)

    def stays(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LEFT_ALONE_S
        while time.monotonic() < deadline:
            assert true(), (self.stand.folder / "daemon.log").read_text()[-4000:]
            time.sleep(POLL_S)


@pytest.fixture
def watched(stand: Stand) -> Iterator[Watched]:
    made = Watched(stand)
    try:
        yield made
    finally:
        made.end()


def test_what_dies_is_started_and_what_a_person_stops_stays_so(watched: Watched) -> None:
    stand = watched.stand
    watched.run(UI)
    watched.run(OPA)
    watched.run(PROXY)
    watched.keep()
    watched.kill(UI)
    watched.until(lambda: watched.running(UI))
    watched.until(lambda: watched.restarts(UI) == 1)

    # By the command, by a kill, and with a stop that has to kill in the end.
    stand.host.run("stop", UI)
    stand.host.run("kill", OPA)
    stand.host.run("stop", "--time", "0", PROXY)
    ended = {UI, OPA, PROXY}
    watched.until(lambda: wishes.read(stand.settings).stopped == ended)
    watched.stays(lambda: not any(watched.running(name) for name in ended))
    assert watched.says(UI) == "stopped by hand"
    status = json.loads(stand.cvatd("status", "--json", check=False).stdout)
    by_hand = {container["name"] for container in status["containers"] if container["stopped_by_hand"]}
    assert by_hand == ended

    # Who starts it again wants it again.
    stand.host.run("start", UI)
    watched.until(lambda: UI not in wishes.read(stand.settings).stopped)
    watched.kill(UI)
    watched.until(lambda: watched.running(UI))

    stand.host.run("rm", "--force", "--time", "0", UI)
    watched.until(lambda: UI in wishes.read(stand.settings).stopped)


def test_what_is_unwell_is_restarted(watched: Watched) -> None:
    check = Health(exec=["sh", "-c", "test -e /tmp/well"], interval_s=0.5, timeout_s=5, retries=2, start_s=20)
    watched.run(OPA, health=check)
    watched.keep()
    watched.until(lambda: watched.health()["containers"][OPA]["well"] is True)
    before = watched.stand.containers()[OPA]
    watched.stand.host.run("exec", OPA, "rm", "/tmp/well")
    watched.until(lambda: watched.restarts(OPA) == 1)
    watched.until(lambda: watched.health()["containers"][OPA]["well"] is True)
    after = watched.stand.containers()[OPA]
    assert after.id == before.id
    assert after.pid != before.pid
    assert wishes.read(watched.stand.settings).stopped == frozenset()  # its own stop is nobody's wish


def test_what_dies_again_and_again_is_given_up(watched: Watched) -> None:
    watched.run(UI, DYING)
    watched.keep()
    watched.until(lambda: "given up after 3 restarts" in watched.says(UI))
    watched.stays(lambda: watched.restarts(UI) == 3)
    assert "status 3" in watched.says(UI)
    assert watched.health()["containers"][UI]["given_up"] is True
    often = doctor(watched.stand, "restarts")["wrong"]["restarts"]
    assert f"{UI} was restarted 3 times" in text(often)
    assert often["command"] == f"cvatd logs {UI}"

    # Also for a daemon that is started anew.
    watched.end()
    watched.keep()
    watched.until(lambda: "given up" in watched.says(UI))


def test_all_come_back_in_order_and_it_stands_back_for_others(watched: Watched) -> None:
    check = Health(exec=["sh", "-c", "test -e /tmp/well"], interval_s=0.5, timeout_s=5, retries=2, start_s=20)
    watched.run(OPA, health=check)
    watched.run(UI, needs=[OPA])
    watched.kill(UI)
    watched.kill(OPA)
    lock = (watched.stand.data_dir / ".lock").open("a+")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        watched.keep()
        watched.stays(lambda: not watched.running(UI) and not watched.running(OPA))
        assert watched.says(UI) == "another cvatd command is at work"
    watched.until(lambda: watched.running(UI) and watched.running(OPA))
    found = watched.stand.containers()
    assert found[OPA].started_at <= found[UI].started_at

    # And nothing is started of a stack that is to be down.
    wishes.set_down(watched.stand.settings)
    watched.kill(UI)
    watched.stays(lambda: not watched.running(UI))


def test_it_survives_podman(watched: Watched) -> None:
    began = time.time()
    watched.run(UI)
    watched.run(OPA)
    watched.keep()
    watched.stand.host.stop(signal.SIGKILL)
    watched.until(lambda: watched.health().get("health") == "podman is away")
    with pytest.raises(CvatdError, match="Podman"):
        watched.ask("/status")
    samples = parsed(fetch(watched.stand, "/metrics"))
    assert samples["cvatd_podman_up", ()] == 0
    # Podman's command works without its service: what a person stopped meanwhile stays stopped, too.
    watched.stand.host.run("stop", OPA)
    watched.stand.host.start()
    watched.until(lambda: watched.health().get("health") != "podman is away")
    watched.stand.host.run("stop", UI)
    watched.until(lambda: wishes.read(watched.stand.settings).stopped == {UI, OPA})
    assert watched.restarts(UI) == watched.restarts(OPA) == 0
    # What it asks before it mends has an end, and all in it.
    told = list(watched.stand.podman.events(began, TOLD, PATIENCE_S, follow=False))
    assert {event["Actor"]["Attributes"]["name"] for event in told if event["Action"] == "died"} >= {UI, OPA}


def test_only_one_and_how_it_ends(watched: Watched) -> None:
    stand = watched.stand
    watched.run(UI)
    watched.keep()
    second = stand.cvatd("daemon", check=False)
    assert second.returncode == 3
    assert f"Another daemon (process {process(watched).pid}) keeps {stand.data_dir} already." in second.stderr
    assert watched.health()["containers"][UI]["state"] == "running"

    watched.end()
    assert stand.settings.socket.exists()  # left by one that was killed
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.settimeout(PATIENCE_S)
    notify.bind(str(stand.folder / "notify"))
    env = stand.env | {"NOTIFY_SOCKET": str(stand.folder / "notify"), "WATCHDOG_USEC": "1000000"}
    started = subprocess.Popen(
        [CVATD, "daemon"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        watched.until(lambda: watched.health()["last_look_age_s"] is not None)
        status = watched.ask("/status")
        assert status["data_dir"] == str(stand.data_dir)
        assert status["containers"][0]["restarts"] == 0
        samples = parsed(fetch(watched.stand, "/metrics"))
        assert samples["cvatd_container_up", (("container", UI),)] == 1
        assert samples["cvatd_podman_up", ()] == 1
        assert any(name == "cvatd_disk_free_bytes" for name, _ in samples)
        said = heard(notify, until=b"WATCHDOG=1")
        assert b"READY=1" in said
        assert any(line.startswith(b"STATUS=1 of ") for line in said)
        began = time.monotonic()
        started.terminate()
        assert started.wait(20) == 0
        assert time.monotonic() - began < 10
        heard(notify, until=b"STOPPING=1")
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        started.wait(10)
        notify.close()
        assert started.stderr is not None
        lines = [json.loads(line) for line in started.stderr.read().decode().splitlines()]
        started.stderr.close()
    assert lines[-1]["event"] == "ends"
    assert not stand.settings.socket.exists()
    assert watched.running(UI)


def heard(notify: socket.socket, until: bytes) -> list[bytes]:
    """All up to that."""
    lines = [notify.recv(4096)]
    while lines[-1] != until:
        lines.append(notify.recv(4096))
    return lines


def fetch(stand: Stand, path: str) -> str:
    """The body, whatever the status."""
    answer = call(stand.settings.socket, f"GET {path} HTTP/1.1\r\n\r\n".encode())
    return answer.partition(b"\r\n\r\n")[2].decode()


def process(watched: Watched) -> "subprocess.Popen[str]":
    assert watched.process is not None
    return watched.process
