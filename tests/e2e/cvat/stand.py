"""A CVAT of the tests' own: data folder, settings file, port; on the tests' own Podman."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from cvatd.core.settings import StackSettings
from cvatd.stack import facts
from cvatd.stack.limits import CGROUPS
from cvatd.stack.podman import Found, Podman
from cvatd.stack.runner import Runner
from tests.podman_host import ROOT, PodmanHost, free_port

CVATD = Path(sys.executable).with_name("cvatd")
SLICE = f"cvatdtests{zlib.crc32(str(ROOT).encode()):08x}"
NETWORK = "cvat-network"
COMMAND_TIMEOUT_S = 120
ANSWER_TIMEOUT_S = 30
REMOVE_TIMEOUT_S = 60
CGROUP_TIMEOUT_S = 10
GB = 1 << 30
# Wide enough that the tests wait for nothing; those of limits set their own.
STANDARD: dict[str, Any] = {
    "slice": SLICE,
    "limits": {"cpu_percent": 400, "memory_high": 4 * GB, "memory_max": 4 * GB},
    "pull_timeout_s": 10,
    "ready_timeout_s": 120,
}


class Stand:
    """Only one can be up at a time: containers have fixed names. `close` leaves nothing behind, whatever happened."""

    def __init__(self, host: PodmanHost) -> None:
        self.host = host
        self.folder = Path(tempfile.mkdtemp(prefix="cvatd-stand-"))
        self.folder.chmod(0o755)
        self.data_dir = self.folder / "cvat"
        self.share = self.folder / "share"
        self.share.mkdir(mode=0o755)
        self.config = self.folder / "settings.json"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.podman = Podman(host.url)
        others = {name: value for name, value in host.environment.items() if not name.startswith("CVATD_")}
        self.env = others | {
            "CVATD_CONFIG": str(self.config),
            "CONTAINER_HOST": host.url,
            "COLUMNS": "100",
        }
        self.settings = StackSettings()
        self.configure()
        self._started: list[subprocess.Popen[str]] = []

    def configure(self, **stack_settings: Any) -> None:
        """Write the settings file anew: the standard ones and these."""
        values = STANDARD | self._own_settings() | stack_settings
        self.settings = StackSettings.model_validate(values)
        content = {"data_dir": str(self.folder / "own"), "stack": values}
        self.config.write_text(json.dumps(content, indent=2))

    def _own_settings(self) -> dict[str, Any]:
        places = {"data_dir": self.data_dir, "socket": self.folder / "daemon.sock", "share": self.share}
        return {"port": self.port, **{name: str(place) for name, place in places.items()}}

    def runner(self) -> Runner:
        return Runner(self.podman, self.settings)

    def up(self) -> list[tuple[str, str, str]]:
        """As `cvatd up`, without the command line. What it told, in order."""
        told: list[tuple[str, str, str]] = []
        self.runner().up(lambda *words: told.append(words))
        return told

    def wait_until_it_answers(self) -> None:
        """For seconds after the start of a container nginx remembers where it was before."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while (seen := facts.http_facts(self.settings)).status != 200 or seen.ui_status != 200:
            assert time.monotonic() < deadline, seen
            time.sleep(0.1)

    def cvatd(
        self, *arguments: str, check: bool = True, input: str | None = None, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [CVATD, *arguments], env=self.env, input=input, capture_output=True, text=True, timeout=timeout_s
        )
        assert not check or done.returncode == 0, (
            f"cvatd {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`cvatd ...` beside the test, in a group of its own; killed at the end of the test at the latest."""
        process = subprocess.Popen(
            [CVATD, *arguments],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def containers(self) -> dict[str, Found]:
        return self.podman.containers()

    def ids(self) -> dict[str, str]:
        """Tells whether a container is still the same one."""
        return {name: found.id for name, found in self.containers().items()}

    def take_down(self) -> None:
        """All containers and the network away, data stay."""
        for process in self._started:
            _end(process)
        self._started.clear()
        self.host.revive()
        clear(self.host)

    def close(self) -> None:
        self.take_down()
        self.podman.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def clear(host: PodmanHost) -> None:
    """Remove all containers, paused ones too, networks and the tests' cgroups, within bounds."""
    if (CGROUPS / "freezer" / SLICE).is_dir() or (CGROUPS / SLICE).is_dir():
        # A frozen process hears no signal, not even the last one.
        _try(host, "unpause", "--all")
    if not _try(host, "rm", "--force", "--all", "--volumes", "--time", "0"):
        kill_cgroups()
        _try(host, "rm", "--force", "--all", "--volumes", "--time", "0")
    _try(host, "network", "rm", "--force", NETWORK)
    kill_cgroups()


def kill_cgroups() -> None:
    """End every process below the tests' parent, then remove it."""
    deadline = time.monotonic() + CGROUP_TIMEOUT_S
    while (left := [*CGROUPS.glob(f"*/{SLICE}"), *CGROUPS.glob(SLICE)]) and time.monotonic() < deadline:
        for parent in left:
            for folder in (*sorted(parent.glob("**/"), reverse=True), parent):
                _empty(folder)
        time.sleep(0.02)


def _empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        (folder / "freezer.state").write_text("THAWED")
    with contextlib.suppress(OSError):
        for pid in (folder / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _try(host: PodmanHost, *arguments: str) -> bool:
    try:
        return host.run(*arguments, check=False, timeout_s=REMOVE_TIMEOUT_S).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    if process.stdout:
        process.stdout.close()
