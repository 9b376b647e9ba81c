"""A Podman of the tests' own: its own store, configuration and API service, so that the host's stays clean."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUN_DIR = Path("/run/cvatd-tests")
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 20

CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "json-file"
[engine]
runtime = "runc"
cgroup_manager = "{cgroup_manager}"
events_logger = "file"
conmon_path = ["{conmon}"]
exit_command_delay = 2
[network]
network_backend = "netavark"
"""
STORAGE_CONF = """\
[storage]
driver = "overlay"
graphroot = "{graphroot}"
runroot = "{runroot}"
"""
# No registry but one that a test may run itself.
REGISTRIES_CONF = """\
unqualified-search-registries = []
[[registry]]
location = "{registry}"
insecure = true
"""
# conmon 2.1.6 writes its mark of an out-of-memory kill to its working folder; Podman 4.3 looks in the bundle (-b).
CONMON = """\
#!/bin/sh
prev=
for argument; do
    if [ "$prev" = -b ]; then cd "$argument"; break; fi
    prev=$argument
done
exec {conmon} "$@"
"""


def missing() -> str | None:
    """Why there can be no Podman here; None when there can."""
    if os.geteuid() != 0:
        return "Podman in tests needs root"
    absent = [program for program in ("podman", "runc", "conmon") if not shutil.which(program)]
    return f"no {', '.join(absent)}" if absent else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PodmanHost:
    """`podman` on a store below the project, with its API at `url`. `before` is a command that runs the service."""

    def __init__(self, name: str = "podman", before: Sequence[str] = ()) -> None:
        self.dir = ROOT / ".cache" / name
        self._run_dir = RUN_DIR if name == "podman" else RUN_DIR / name
        self.socket = self._run_dir / "podman.sock"
        self.url = f"unix://{self.socket}"
        self.command = ["podman", "--tmpdir", str(self._run_dir / "tmp")]
        self._before = before
        self._service: subprocess.Popen[bytes] | None = None
        self.registry = f"127.0.0.1:{free_port()}"
        self._configure()
        self.environment = os.environ | {
            "CONTAINERS_REGISTRIES_CONF": str(self.dir / "registries.conf"),
            "CONTAINERS_CONF": str(self.dir / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.dir / "storage.conf"),
        }

    def _configure(self) -> None:
        self.dir.mkdir(parents=True, exist_ok=True)
        self._run_dir.mkdir(parents=True, exist_ok=True)
        conmon = self.dir / "conmon"
        conmon.write_text(CONMON.format(conmon=shutil.which("conmon")))
        conmon.chmod(0o755)
        (self.dir / "containers.conf").write_text(CONTAINERS_CONF.format(conmon=conmon, cgroup_manager="cgroupfs"))
        storage = STORAGE_CONF.format(graphroot=self.dir / "root", runroot=self._run_dir / "run")
        (self.dir / "storage.conf").write_text(storage)
        (self.dir / "registries.conf").write_text(REGISTRIES_CONF.format(registry=self.registry))

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._service = subprocess.Popen(
            [*self._before, *self.command, "system", "service", "--time=0", self.url],
            cwd="/",
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=(self.dir / "service.log").open("ab"),
            start_new_session=True,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.socket.exists():
            assert time.monotonic() < deadline, (self.dir / "service.log").read_text()[-2000:]
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """Of the service."""
        assert self._service is not None
        return self._service.pid

    def revive(self) -> None:
        """Start the service where it does not run (any more)."""
        if self._service is None or self._service.poll() is not None:
            self.start()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Containers survive it."""
        if self._service is not None:
            self._service.send_signal(number)
            try:
                self._service.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._service.kill()
                self._service.wait(STOP_TIMEOUT_S)
            self._service = None

    def run(self, *arguments: str, check: bool = True, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            env=self.environment,
            check=check,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
