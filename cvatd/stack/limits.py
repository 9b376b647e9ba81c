"""The cgroup that bounds the whole stack: made where nobody else makes it, read back, proved process by process.

A slice of the units alone does not hold a container: only Podman's `--cgroup-parent` does. Under systemd the parent
is a slice; where Podman makes cgroups itself it is a plain folder that this module makes and removes.
"""

import contextlib
import errno
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from cvatd.core import words
from cvatd.core.errors import CvatdError
from cvatd.core.settings import LimitSettings
from cvatd.stack.podman import Host

CGROUPS = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
V1_CONTROLLERS = ("memory", "cpu", "cpuacct", "cpuset", "pids", "freezer", "blkio", "devices", "systemd", "unified")
SYSTEMCTL_TIMEOUT_S = 20
UNLIMITED_BYTES = 1 << 60
SQUEEZE_S = 3.0
MONITORS = "conmon"
MONITORS_S = 10.0
POLL_S = 0.1
# Of a cgroup that is not there, and of one that went between opening and reading.
GONE = (errno.ENOENT, errno.ENODEV)
PRESSED_PERCENT = 10.0


@dataclass(frozen=True)
class Usage:
    """What the stack uses, against what it may. Bytes; processor time in seconds since the cgroup was made."""

    memory: int
    memory_max: int | None
    memory_high: int | None
    cpu_s: float
    cpu_percent: int | None
    oom_kills: int
    under_pressure: bool


@dataclass(frozen=True)
class Stray:
    """A process of a container that lies outside of the parent: no limit holds it."""

    container: str
    pid: int
    cgroup: str


class Parent:
    """The cgroup parent `<name>.slice` (systemd) or `/<name>` (cgroupfs)."""

    def __init__(self, name: str, host: Host) -> None:
        self.name = name
        self._host = host
        self.v2 = host.cgroup_version == "v2"

    @property
    def argument(self) -> str:
        """For Podman's --cgroup-parent."""
        return f"{self.name}.slice" if self._host.systemd else f"/{self.name}"

    @property
    def path(self) -> str:
        """As /proc/<pid>/cgroup shows it, from the root: systemd nests a-b.slice below a.slice."""
        if not self._host.systemd:
            return f"/{self.name}"
        parts = self.name.split("-")
        return "".join(f"/{'-'.join(parts[: n + 1])}.slice" for n in range(len(parts)))

    def ensure(self, limits: LimitSettings) -> None:
        """Make it and set its limits. Raises CvatdError "limits"."""
        try:
            if self._host.systemd:
                self._set_slice(limits)
            elif self.v2:
                self._make_v2(limits)
            else:
                self._make_v1(limits)
        except (OSError, subprocess.SubprocessError) as error:
            raise CvatdError("limits", f"The limits of {self.argument} cannot be set: {error}") from None

    def remove(self) -> None:
        """Only what `ensure` made by itself, and only when nothing runs in it. Monitors end after containers."""
        deadline = time.monotonic() + MONITORS_S
        while any(_watches(folder / MONITORS) for folder in self._folders()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if self._host.systemd or any(_holds_processes(folder) for folder in self._folders()):
            return
        for folder in self._folders():
            for below, *_ in os.walk(folder, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(below)

    def usage(self) -> Usage | None:
        """None while nothing runs in it (systemd removes an empty slice)."""
        try:
            return self._usage_v2() if self.v2 else self._usage_v1()
        except OSError as error:
            if error.errno in GONE:
                return None
            raise

    def strays(self, pids: dict[str, int]) -> list[Stray]:
        """Processes of these containers (name -> first process) that are not below this parent."""
        namespaces = {}
        for name, pid in pids.items():
            with contextlib.suppress(OSError):
                namespaces[os.readlink(f"/proc/{pid}/ns/pid")] = name
        strays = []
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                container = namespaces.get(os.readlink(process / "ns" / "pid"))
                cgroup = memory_cgroup((process / "cgroup").read_text()) if container else ""
            except OSError:
                continue  # it ended meanwhile
            if container and not f"{cgroup}/".startswith(f"{self.path}/"):
                strays.append(Stray(container, int(process.name), cgroup))
        return strays

    def _folders(self) -> list[Path]:
        if self.v2:
            return [folder for folder in [CGROUPS / self.name] if folder.is_dir()]
        return [
            CGROUPS / controller / self.name
            for controller in V1_CONTROLLERS
            if (CGROUPS / controller / self.name).is_dir()
        ]

    def _set_slice(self, limits: LimitSettings) -> None:
        unit = f"{self.name}.slice"
        if _systemctl("show", "--property=FragmentPath", "--value", unit).strip():
            return  # declared by the host's configuration, which is to be changed there
        if self.v2:
            _make_room(Path(f"{CGROUPS}{self.path}"), limits)
        properties = [
            f"MemoryHigh={limits.memory_high}",
            f"MemoryMax={limits.memory_max}",
            f"CPUQuota={limits.cpu_percent}%",
        ]
        _systemctl("set-property", "--runtime", unit, *properties)

    def _make_v1(self, limits: LimitSettings) -> None:
        for controller in ("memory", "cpu", "cpuset", "pids"):
            folder = CGROUPS / controller / self.name
            if folder.parent.is_dir():
                folder.mkdir(exist_ok=True)
        cpuset = CGROUPS / "cpuset"
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (cpuset / self.name).is_dir():
                (cpuset / self.name / file).write_text((cpuset / file).read_text())
        memory = CGROUPS / "memory" / self.name
        _write_quietly(memory / "memory.use_hierarchy", "1")
        try:
            _write_memory_v1(memory, limits.memory_max)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            used = int((memory / "memory.usage_in_bytes").read_text())
            raise _too_much(used, limits.memory_max) from None
        (memory / "memory.soft_limit_in_bytes").write_text(str(limits.memory_high))
        cpu = CGROUPS / "cpu" / self.name
        (cpu / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (cpu / "cpu.cfs_quota_us").write_text(str(limits.cpu_percent * PERIOD_US // 100))

    def _make_v2(self, limits: LimitSettings) -> None:
        folder = CGROUPS / self.name
        folder.mkdir(exist_ok=True)
        for where in (CGROUPS, folder):
            (where / "cgroup.subtree_control").write_text("+memory +cpu +pids")
        _make_room(folder, limits)
        (folder / "memory.high").write_text(str(limits.memory_high))
        (folder / "memory.max").write_text(str(limits.memory_max))
        (folder / "cpu.max").write_text(f"{limits.cpu_percent * PERIOD_US // 100} {PERIOD_US}")

    def _usage_v1(self) -> Usage:
        memory, cpu = Path(f"{CGROUPS}/memory{self.path}"), Path(f"{CGROUPS}/cpu{self.path}")
        usage = int((memory / "memory.usage_in_bytes").read_text())
        cache = _fields(memory / "memory.stat").get("total_inactive_file", 0)
        limit = int((memory / "memory.limit_in_bytes").read_text())
        soft = int((memory / "memory.soft_limit_in_bytes").read_text())
        quota = int((cpu / "cpu.cfs_quota_us").read_text())
        spent = Path(f"{CGROUPS}/cpuacct{self.path}/cpuacct.usage")
        control = _fields(memory / "memory.oom_control")
        return Usage(
            memory=max(0, usage - cache),
            memory_max=limit if limit < UNLIMITED_BYTES else None,
            memory_high=soft if soft < UNLIMITED_BYTES else None,
            cpu_s=int(spent.read_text()) / 1e9 if spent.exists() else 0.0,
            cpu_percent=quota * 100 // PERIOD_US if quota > 0 else None,
            oom_kills=control.get("oom_kill", 0) + _below(memory),
            under_pressure=bool(control.get("under_oom", 0)),
        )

    def _usage_v2(self) -> Usage:
        folder = Path(f"{CGROUPS}{self.path}")
        usage = int((folder / "memory.current").read_text())
        events = _fields(folder / "memory.events")
        quota = (folder / "cpu.max").read_text().split()
        return Usage(
            memory=max(0, usage - _fields(folder / "memory.stat").get("inactive_file", 0)),
            memory_max=_limit(folder / "memory.max"),
            memory_high=_limit(folder / "memory.high"),
            cpu_s=_fields(folder / "cpu.stat")["usage_usec"] / 1e6,
            cpu_percent=int(quota[0]) * 100 // int(quota[1]) if quota[0] != "max" else None,
            oom_kills=events.get("oom_kill", 0),
            under_pressure=_pressed(folder / "memory.pressure"),
        )


def _systemctl(*arguments: str) -> str:
    """What it says. Raises OSError, subprocess.SubprocessError with its own words."""
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=SYSTEMCTL_TIMEOUT_S)
    if done.returncode != 0:
        words = done.stderr.strip() or f"systemctl {arguments[0]} ended with status {done.returncode}"
        raise subprocess.SubprocessError(words)
    return done.stdout


def memory_cgroup(text: str) -> str:
    """The cgroup that holds a process's memory, out of /proc/<pid>/cgroup (either version). Pure."""
    unified = ""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return path
        if controllers == "":
            unified = path
    return unified


def _make_room(folder: Path, limits: LimitSettings) -> None:
    """The kernel kills at once when memory.max falls below what is used: squeeze first, then refuse.

    Raises CvatdError "limits" with both numbers; the limits then are as they were.
    """
    current, high = folder / "memory.current", folder / "memory.high"
    if not current.exists() or int(current.read_text()) <= limits.memory_max:
        return
    before, deadline = high.read_text(), time.monotonic() + SQUEEZE_S
    high.write_text(str(limits.memory_high))
    while (used := int(current.read_text())) > limits.memory_max:
        if time.monotonic() > deadline:
            high.write_text(before)
            raise _too_much(used, limits.memory_max)
        time.sleep(POLL_S)


def _too_much(used: int, limit: int) -> CvatdError:
    return CvatdError(
        "limits",
        f"The stack uses {words.memory(used)} and stack.limits.memory_max is {words.memory(limit)}: the kernel would "
        "kill containers at once. Set it higher, or stop the stack first (cvatd down).",
    )


def _holds_processes(folder: Path) -> bool:
    for below, *_ in os.walk(folder):
        with contextlib.suppress(OSError):  # it went meanwhile
            if Path(below, "cgroup.procs").read_text().strip():
                return True
    return False


def _watches(folder: Path) -> bool:
    """Whether a container's monitor is left; those of commands stay for minutes, with nothing to watch."""
    with contextlib.suppress(OSError):
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                if b"--exec-attach" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return True
    return False


def _write_memory_v1(folder: Path, limit: int) -> None:
    """Memory and memory-with-swap may only be changed in the order that keeps the first below the second."""
    plain, swap = folder / "memory.limit_in_bytes", folder / "memory.memsw.limit_in_bytes"
    files = [plain, swap] if swap.exists() else [plain]
    if swap.exists() and int(swap.read_text()) < limit:
        files.reverse()
    for file in files:
        file.write_text(str(limit))


def _write_quietly(file: Path, text: str) -> None:
    """For what newer kernels no longer have, or have set for ever."""
    with contextlib.suppress(OSError):
        file.write_text(text)


def _fields(file: Path) -> dict[str, int]:
    pairs = (line.split() for line in file.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _below(folder: Path) -> int:
    """The first version counts kills where they happened, in the containers' own cgroups."""
    kills = 0
    for file in folder.glob("*/memory.oom_control"):
        with contextlib.suppress(OSError):  # it went meanwhile
            kills += _fields(file).get("oom_kill", 0)
    return kills


def _limit(file: Path) -> int | None:
    text = file.read_text().strip()
    return None if text == "max" else int(text)


def _pressed(file: Path) -> bool:
    """Whether work stood still for want of memory for more than a tenth of the last minute."""
    try:
        some = file.read_text().splitlines()[0]
    except OSError:
        return False
    return float(dict(part.split("=") for part in some.split()[1:])["avg60"]) > PRESSED_PERCENT
