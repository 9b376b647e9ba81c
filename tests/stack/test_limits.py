"""The cgroup of the stack: the first version for real in one of the tests' own, the second in a folder like it."""

import contextlib
import errno
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.core.errors import CvatdError
from cvatd.core.settings import LimitSettings
from cvatd.stack import limits
from cvatd.stack.limits import CGROUPS, Parent, Stray, memory_cgroup
from cvatd.stack.podman import Host

MIB = 1 << 20
LIMITS = LimitSettings(cpu_percent=150, memory_high=300 * MIB, memory_max=400 * MIB)
TIMEOUT_S = 20
# Says how far it is, takes so many MiB of memory, and sleeps.
TAKE = """
import sys, time
print(flush=True)
sys.stdin.readline()
kept = bytearray(b"x" * (int(sys.argv[1]) << 20))
print(flush=True)
time.sleep(60)
"""


def host(version: str = "v2", manager: str = "cgroupfs") -> Host:
    return Host("4.3.1", manager, version, False, Path("/var/lib/containers/storage"))


# ---- what is read ----


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/cvat.slice/libpod-1.scope\n", "/cvat.slice/libpod-1.scope"),
        ("12:memory:/cvat/libpod-1\n11:cpu,cpuacct:/else\n0::/\n", "/cvat/libpod-1"),
        ("0::/unified\n12:cpu:/a\n4:memory,hugetlb:/b\n", "/b"),
        ("1:name=systemd:/memory\n0::/init.scope:with:colons\n", "/init.scope:with:colons"),
        ("", ""),
    ],
)
def test_where_a_process_has_its_memory_counted(text: str, path: str) -> None:
    assert memory_cgroup(text) == path


@given(st.text(st.characters(blacklist_categories=["C", "Z"]), min_size=1), st.booleans())
def test_any_name_of_a_cgroup_is_read(name: str, first_version: bool) -> None:
    lines = ["9:cpu:/x", f"4:memory:/{name}" if first_version else "4:pids:/y", f"0::/{name}"]
    assert memory_cgroup("\n".join(lines)) == f"/{name}"


@pytest.mark.parametrize(
    ("manager", "name", "argument", "path"),
    [
        ("cgroupfs", "cvat", "/cvat", "/cvat"),
        ("cgroupfs", "cvat-a-b", "/cvat-a-b", "/cvat-a-b"),
        ("systemd", "cvat", "cvat.slice", "/cvat.slice"),
        ("systemd", "cvat-a-b", "cvat-a-b.slice", "/cvat.slice/cvat-a.slice/cvat-a-b.slice"),
    ],
)
def test_what_podman_is_told_and_where_it_then_is(manager: str, name: str, argument: str, path: str) -> None:
    parent = Parent(name, host("v2", manager))
    assert (parent.argument, parent.path) == (argument, path)


# ---- the second version, in a folder like the kernel's ----


@pytest.fixture
def unified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(limits, "CGROUPS", tmp_path)
    monkeypatch.setattr(limits, "SQUEEZE_S", 0.3)
    return tmp_path


def fill(folder: Path, current: int, pressure: str = "0.00") -> None:
    """What the kernel shows of a cgroup that is in use."""
    folder.mkdir(exist_ok=True)
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 7\ninactive_file {10 * MIB}\nactive_file 3\n")
    (folder / "memory.events").write_text("low 0\nhigh 12\nmax 5\noom 3\noom_kill 2\noom_group_kill 0\n")
    (folder / "memory.pressure").write_text(
        f"some avg10=0.00 avg60={pressure} avg300=0.00 total=1\nfull avg10=0.00 avg60=99.00 avg300=0.00 total=1\n"
    )
    (folder / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\nsystem_usec 1\n")


def test_the_second_version_is_told_all_three_limits_and_reads_them_back(unified: Path) -> None:
    parent = Parent("cvat", host())
    assert parent.usage() is None
    parent.ensure(LIMITS)
    assert (unified / "cvat" / "cpu.max").read_text() == "150000 100000"
    for where in (unified, unified / "cvat"):
        assert set((where / "cgroup.subtree_control").read_text().split()) == {"+memory", "+cpu", "+pids"}
    fill(unified / "cvat", 200 * MIB)
    usage = parent.usage()
    assert usage is not None
    assert (usage.memory, usage.memory_max, usage.memory_high) == (190 * MIB, 400 * MIB, 300 * MIB)
    assert (usage.cpu_s, usage.cpu_percent, usage.oom_kills, usage.under_pressure) == (2.5, 150, 2, False)


@pytest.mark.parametrize(("avg60", "pressed"), [("0.00", False), ("9.99", False), ("10.01", True), ("100.00", True)])
def test_pressure_is_work_that_stood_still_for_a_tenth_of_a_minute(unified: Path, avg60: str, pressed: bool) -> None:
    parent = Parent("cvat", host())
    parent.ensure(LIMITS)
    fill(unified / "cvat", MIB, avg60)
    usage = parent.usage()
    assert usage is not None
    assert usage.under_pressure is pressed


def test_a_cgroup_without_limits_or_pressure_is_read_as_such(unified: Path) -> None:
    folder = unified / "cvat.slice"
    fill(folder, 5 * MIB)
    (folder / "memory.pressure").unlink()
    for name, text in (("memory.max", "max\n"), ("memory.high", "max\n"), ("cpu.max", "max 100000\n")):
        (folder / name).write_text(text)
    usage = Parent("cvat", host("v2", "systemd")).usage()
    assert usage is not None
    assert (usage.memory, usage.memory_max, usage.memory_high, usage.cpu_percent) == (0, None, None, None)
    assert not usage.under_pressure


def test_a_limit_below_what_is_used_is_refused_and_nothing_is_changed(unified: Path) -> None:
    """The kernel would kill the moment memory.max is written; this folder gives nothing back when it is squeezed."""
    parent = Parent("cvat", host())
    parent.ensure(LIMITS)
    fill(unified / "cvat", 350 * MIB)
    smaller = LimitSettings(memory_high=100 * MIB, memory_max=200 * MIB)
    with pytest.raises(CvatdError, match=r"350 MB .* 200 MB") as refused:
        parent.ensure(smaller)
    assert refused.value.code == "limits"
    assert (unified / "cvat" / "memory.max").read_text() == str(400 * MIB)
    assert (unified / "cvat" / "memory.high").read_text() == str(300 * MIB)


def test_a_limit_below_what_is_used_is_set_once_the_kernel_took_enough_back(
    unified: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = Parent("cvat", host())
    parent.ensure(LIMITS)
    folder = unified / "cvat"
    fill(folder, 350 * MIB)
    squeezed_to: list[str] = []

    def reclaim(_: float) -> None:
        squeezed_to.append((folder / "memory.high").read_text())
        assert (folder / "memory.max").read_text() == str(400 * MIB), "not before there is room"
        (folder / "memory.current").write_text(f"{90 * MIB}\n")

    monkeypatch.setattr(limits.time, "sleep", reclaim)
    parent.ensure(LimitSettings(memory_high=100 * MIB, memory_max=200 * MIB))
    assert squeezed_to == [str(100 * MIB)]
    assert (folder / "memory.max").read_text() == str(200 * MIB)


def test_what_goes_between_opening_and_reading_has_no_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Parent) -> None:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(Parent, "_usage_v2", gone)
    assert Parent("cvat", host()).usage() is None


def test_what_goes_away_while_it_is_looked_at_is_no_fault(unified: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Podman takes away the cgroups of ended containers when it comes to it."""
    (unified / "cvat" / "gone").mkdir(parents=True)
    (unified / "cvat" / "stays").mkdir()
    scan = os.scandir

    def scandir(path: Any) -> Any:
        if Path(os.fsdecode(path)).name == "gone":
            raise FileNotFoundError(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    Parent("cvat", host()).remove()
    assert not (unified / "cvat" / "stays").exists()
    (unified / "cvat" / "stays").mkdir()
    (unified / "cvat" / "stays" / "memory.oom_control").symlink_to("/nowhere")
    assert limits._below(unified / "cvat") == 0


# ---- systemd, played by a program of its name ----


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that writes down what it is asked; `declared` holds what it says of a unit's file."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\n[ "$1" != show ] || cat {tmp_path}/declared\n')
    program.chmod(0o755)
    (tmp_path / "declared").write_text("\n")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path


def test_a_slice_that_nobody_declared_gets_its_limits_from_systemd(systemctl: Path) -> None:
    Parent("cvat", host("v1", "systemd")).ensure(LIMITS)
    asked = (systemctl / "asked").read_text().splitlines()
    limit = f"MemoryHigh={300 * MIB} MemoryMax={400 * MIB} CPUQuota=150%"
    assert asked[-1] == f"set-property --runtime cvat.slice {limit}"


def test_a_slice_of_the_hosts_configuration_is_left_to_it(systemctl: Path) -> None:
    (systemctl / "declared").write_text("/etc/systemd/system/cvat.slice\n")
    Parent("cvat", host("v1", "systemd")).ensure(LIMITS)
    assert "set-property" not in (systemctl / "asked").read_text()


def test_systemd_is_not_let_kill_either(systemctl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CGROUPS", systemctl)
    monkeypatch.setattr(limits, "SQUEEZE_S", 0.2)
    fill(systemctl / "cvat.slice", 350 * MIB)
    (systemctl / "cvat.slice" / "memory.high").write_text("max\n")
    with pytest.raises(CvatdError, match="350 MB"):
        Parent("cvat", host("v2", "systemd")).ensure(LimitSettings(memory_high=MIB, memory_max=2 * MIB))
    assert "set-property" not in (systemctl / "asked").read_text()
    assert (systemctl / "cvat.slice" / "memory.high").read_text() == "max\n"


def test_a_systemd_that_refuses_is_said_in_words(systemctl: Path) -> None:
    (systemctl / "bin" / "systemctl").write_text("#!/bin/sh\necho Access denied >&2; exit 1\n")
    with pytest.raises(CvatdError, match=r"limits of cvat\.slice cannot be set: .*Access denied") as refused:
        Parent("cvat", host("v2", "systemd")).ensure(LIMITS)
    assert refused.value.code == "limits"


# ---- the first version, for real ----


def _first_version_is_ours() -> bool:
    return os.geteuid() == 0 and all(
        os.access(CGROUPS / name, os.W_OK) for name in ("memory/cgroup.procs", "cpu", "pids")
    )


needs_first_version = pytest.mark.skipif(not _first_version_is_ours(), reason="takes root and cgroups of version 1")


def remaining(parent: Parent) -> list[Path]:
    return list(CGROUPS.glob(f"*/{parent.name}"))


@contextlib.contextmanager
def own(name: str) -> Iterator[Parent]:
    """A cgroup of this test alone; all that runs in it is ended, and it is removed."""
    made = Parent(name, host("v1"))
    try:
        yield made
    finally:
        deadline = time.monotonic() + TIMEOUT_S
        while remaining(made) and time.monotonic() < deadline:
            for file in (CGROUPS / "memory" / made.name).rglob("cgroup.procs"):
                for pid in file.read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
            made.remove()
            time.sleep(0.02)


@pytest.fixture
def parent() -> Iterator[Parent]:
    with own(f"cvatd_units_{secrets.token_hex(4)}") as made:
        yield made


@contextlib.contextmanager
def process(*command: str) -> Iterator["subprocess.Popen[str]"]:
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        started.kill()
        started.communicate(timeout=TIMEOUT_S)


def put(pid: int, parent: Parent, below: str = "") -> None:
    folder = CGROUPS / "memory" / parent.name / below
    folder.mkdir(exist_ok=True)
    (folder / "cgroup.procs").write_text(str(pid))


@needs_first_version
def test_the_first_version_is_told_all_limits_and_reads_them_back(parent: Parent) -> None:
    assert parent.usage() is None
    for bounds in (LIMITS, LimitSettings(memory_high=MIB, memory_max=64 * MIB, cpu_percent=20), LIMITS, LIMITS):
        parent.ensure(bounds)
        usage = parent.usage()
        assert usage is not None
        assert (usage.memory_max, usage.memory_high) == (bounds.memory_max, bounds.memory_high)
        assert usage.cpu_percent == bounds.cpu_percent
        assert (usage.oom_kills, usage.under_pressure) == (0, False)
    assert {path.parent.name for path in remaining(parent)} >= {"memory", "cpu", "cpuset", "pids"}
    parent.remove()
    assert remaining(parent) == []
    assert parent.usage() is None


@needs_first_version
def test_memory_in_use_is_counted_and_no_limit_may_fall_below_it(parent: Parent) -> None:
    parent.ensure(LIMITS)
    with process(sys.executable, "-c", TAKE, "60") as taker:
        assert taker.stdin is not None
        assert taker.stdout is not None
        taker.stdout.readline()
        put(taker.pid, parent)
        taker.stdin.write("\n")
        taker.stdin.flush()
        assert taker.stdout.readline()
        usage = parent.usage()
        assert usage is not None
        assert 60 * MIB < usage.memory < 200 * MIB
        with pytest.raises(CvatdError, match=r"uses \d+ MB .* 30 MB") as refused:
            parent.ensure(LimitSettings(memory_high=20 * MIB, memory_max=30 * MIB))
        assert refused.value.code == "limits"
        assert taker.poll() is None, "nothing is killed"
        after = parent.usage()
        assert after is not None
        assert after.memory_max == LIMITS.memory_max


@needs_first_version
def test_what_takes_too_much_is_killed_and_the_kill_is_counted_where_it_happened(parent: Parent) -> None:
    parent.ensure(LimitSettings(memory_high=20 * MIB, memory_max=40 * MIB))
    with process(sys.executable, "-c", TAKE, "200") as taker:
        assert taker.stdin is not None
        assert taker.stdout is not None
        taker.stdout.readline()
        put(taker.pid, parent, "libpod-1")
        taker.stdin.write("\n")
        taker.stdin.flush()
        assert taker.wait(TIMEOUT_S) == -signal.SIGKILL
    usage = parent.usage()
    assert usage is not None
    assert usage.oom_kills == 1


@needs_first_version
def test_a_cgroup_with_a_process_is_not_removed_and_an_empty_one_with_all_below(parent: Parent) -> None:
    parent.ensure(LIMITS)
    with process("sleep", "60") as sleeper:
        put(sleeper.pid, parent, "libpod-1")
        before = remaining(parent)
        parent.remove()
        assert remaining(parent) == before
        usage = parent.usage()
        assert usage is not None
        assert usage.memory_max == LIMITS.memory_max
    (CGROUPS / "memory" / parent.name / "libpod-2" / "deeper").mkdir(parents=True)
    parent.remove()
    assert remaining(parent) == []
    parent.remove()


@needs_first_version
def test_a_process_of_a_container_outside_of_the_parent_is_found(parent: Parent) -> None:
    parent.ensure(LIMITS)
    with process("unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "sleep 60 & echo; wait") as container:
        assert container.stdout is not None
        container.stdout.readline()
        children = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()
        first = int(children[0])
        pids = {"cvat-server": first, "gone": 1 << 30}
        strays = parent.strays(pids)
        assert {stray.container for stray in strays} == {"cvat-server"}
        assert Stray("cvat-server", first, memory_cgroup(Path(f"/proc/{first}/cgroup").read_text())) in strays
        for stray in strays:
            put(stray.pid, parent, "libpod-1")
        assert parent.strays(pids) == []


@needs_first_version
def test_a_parent_of_a_longer_name_is_another(parent: Parent) -> None:
    """`/cvat2/x` does not lie below `/cvat`."""
    parent.ensure(LIMITS)
    container_command = ("unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "echo; exec sleep 60")
    with own(f"{parent.name}2") as longer, process(*container_command) as container:
        longer.ensure(LIMITS)
        assert container.stdout is not None
        container.stdout.readline()
        first = int(Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text())
        put(first, longer)
        assert [stray.cgroup for stray in parent.strays({"a": first})] == [f"/{longer.name}"]
        assert longer.strays({"a": first}) == []
