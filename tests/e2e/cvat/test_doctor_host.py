"""Broken for real: what the host, its disk and the proxy in front of it may do to CVAT; each put back."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import requests

from cvatd.stack.doctor.containers import LOG_BYTES
from cvatd.stack.doctor.host import MANY_LEFT_OVER
from cvatd.stack.doctor.look import LOG_LINES, is_left_over
from cvatd.stack.podman import Podman
from tests.e2e.cvat.stand import CVATD, Stand
from tests.e2e.cvat.test_doctor import DOCTOR_TIMEOUT_S, doctor, text, wait_for
from tests.e2e.cvat.test_images import TIMEOUT_S, password

pytestmark = pytest.mark.e2e
ABROAD = {"Origin": "https://cvat.example.org"}
# Of one command alone: a small disk in the data folder's place, and a kernel that it takes for another.
ELSEWHERE = """
mount -t tmpfs -o size=4m disk "$1" && head -c 4000000 /dev/zero > "$1"/full &&
echo 0 > "$1"/0 && mount --bind "$1"/0 /proc/sys/vm/overcommit_memory && exec "$0" doctor --json disk overcommit
"""


def test_a_share_for_root_alone_a_long_log_and_a_proxy_that_hides_the_origin(standing: Stand) -> None:
    share = standing.share
    with logs_put_back(standing, "cvat-server", "cvat-proxy", "cvat-db"):
        try:
            share.chmod(0o700)
            _lengthen(log_of(standing, "cvat-db"))
            form = requests.post(f"{standing.url}/admin/login/", headers=ABROAD, timeout=TIMEOUT_S)
            assert form.status_code == 403
            with requests.Session() as session:
                credentials = {"username": "admin", "password": password(standing)}
                session.post(f"{standing.url}/api/auth/login", json=credentials, timeout=TIMEOUT_S).raise_for_status()
                refused = session.post(f"{standing.url}/api/tasks/1/data/", headers=ABROAD, timeout=TIMEOUT_S)
            assert refused.status_code == 403
            assert "Origin checking failed" in refused.json()["detail"]
            wait_for(lambda: standing.podman.logs("cvat-proxy", 50).count("Origin refused: ") == 2, "nginx tells of it")

            answer = doctor(standing, "share", "container-logs", "origin")
            wrong = answer["wrong"]
            assert answer["unknown"] == {}
            assert f"{share}: [Errno 13] Permission denied" in text(wrong["share"])
            assert f"chmod -R o+rX {share}" in wrong["share"]["command"]
            assert "cvat-db: 600 MB" in text(wrong["container-logs"])
            assert "Forbidden (Origin checking failed - https://cvat.example.org" in text(wrong["origin"])
            assert f"Origin refused: https://cvat.example.org, while CVAT was told {standing.url}" in text(
                wrong["origin"]
            )
        finally:
            share.chmod(0o755)
    assert doctor(standing, "share", "container-logs", "origin")["wrong"] == {}


def test_a_disk_that_is_full_and_a_kernel_that_may_refuse_memory(standing: Stand) -> None:
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", ELSEWHERE, CVATD, standing.data_dir],
        env=standing.env,
        capture_output=True,
        text=True,
        timeout=DOCTOR_TIMEOUT_S,
    )
    assert done.returncode == 1, done.stderr
    wrong = {finding["check"]: finding for finding in json.loads(done.stdout)["wrong"]}
    assert f"The disk of {standing.data_dir} is 9" in wrong["disk"]["words"]
    assert "% full: CVAT locks people out." in wrong["disk"]["words"]
    assert wrong["disk"]["urgent"]
    assert "vm.overcommit_memory = 0" in text(wrong["overcommit"])


def test_processes_that_podman_keeps_of_ended_commands(standing: Stand) -> None:
    ui = standing.containers()["cvat-ui"].id
    try:
        with _patient_podman(standing) as podman:
            while len(_left_over(ui)) < MANY_LEFT_OVER:
                assert podman.execute("cvat-ui", ["true"]).status == 0
        wrong = doctor(standing, "left-over")["wrong"]
    finally:
        for pid in _left_over(ui):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert "processes of commands that have ended" in text(wrong["left-over"])
    assert "exit_command_delay = 10" in wrong["left-over"]["command"]


def log_of(stand: Stand, name: str) -> Path:
    return Path(stand.podman.inspect(name)["HostConfig"]["LogConfig"]["Path"])


@contextlib.contextmanager
def logs_put_back(stand: Stand, *names: str) -> Iterator[None]:
    """What is written meanwhile is taken out again: the tests that follow look at these lines too."""
    lengths = {log: log.stat().st_size for log in (log_of(stand, name) for name in names)}
    try:
        yield
    finally:
        for log, length in lengths.items():
            os.truncate(log, length)


def _lengthen(log: Path) -> None:
    """A hole takes no room; behind it as many lines as are looked at, so that nobody has to read it."""
    lines = f"{datetime.now().astimezone().isoformat()} stdout F all is well\n" * 2 * LOG_LINES
    with log.open("rb+") as file:
        file.truncate(LOG_BYTES * 12 // 10)
        file.seek(0, os.SEEK_END)
        file.write(f"\n{lines}".encode())


def _left_over(container_id: str) -> list[int]:
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if is_left_over(process) and container_id.encode() in (process / "cmdline").read_bytes():
                left.append(int(process.name))
    return left


@contextlib.contextmanager
def _patient_podman(stand: Stand) -> Iterator[Podman]:
    """A second service for the same containers, with the delay that Podman has by itself: 300 s."""
    conf = stand.folder / "containers.conf"
    ours = Path(stand.host.environment["CONTAINERS_CONF"]).read_text()
    conf.write_text(ours.replace("exit_command_delay = 2\n", ""))
    assert conf.read_text() != ours
    socket = stand.folder / "patient.sock"
    service = subprocess.Popen(
        [*stand.host.command, "system", "service", "--time=0", f"unix://{socket}"],
        env=stand.host.environment | {"CONTAINERS_CONF": str(conf)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(socket.exists, "the second service")
        with Podman(f"unix://{socket}") as podman:
            yield podman
    finally:
        service.terminate()
        service.wait(TIMEOUT_S)
