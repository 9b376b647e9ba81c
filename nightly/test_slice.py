"""The slice on true cgroup v2: containers that cvatd makes are in it, and the kernel bounds them all together."""

import re
from pathlib import Path
from typing import Any

import pytest

from nightly import machine
from tests.images.archive import Image, write
from tests.images.rootfs import base_layer, shell
from tests.podman_host import ROOT

HERE = Path(__file__).parent
SITE = machine.FOLDER / "site"
GOLDEN = ROOT / "nix" / "tests" / "units.golden.txt"
MB = 1 << 20
LIMIT = 192 * MB
GREEDY = {"greedy", "grabbing"}
WAYS = ("systemd", "declared", "cgroupfs")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What was seen in the machine, booted once."""
    reason = machine.missing()
    if reason:
        pytest.skip(f"{reason}: scripts/install-vm.sh installs it")
    machine.ensure()
    folder = tmp_path_factory.mktemp("carried")
    layer = base_layer()
    shell(layer)
    image = write([Image(["docker.io/library/greedy:1"], [layer], {"Env": ["PATH=/usr/bin"]})], folder)
    declared = folder / "cvat.slice"
    declared.write_text(slice_of_nixos())
    return machine.run(
        [
            (HERE / "program.py", "program.py"),
            (ROOT / "cvatd", "cvatd"),
            (SITE, "site"),
            (image, "image.tar"),
            (declared, "cvat.slice"),
        ]
    )


def slice_of_nixos() -> str:
    """The unit as the modules make it, with less memory."""
    text = GOLDEN.read_text().partition("##### cvat.slice\n")[2].partition("\n#####")[0]
    text, count = re.subn(r"(?m)^(MemoryHigh|MemoryMax)=.*$", rf"\1={LIMIT}", text)
    assert count == 2
    return text


@pytest.mark.parametrize("way", WAYS)
def test_every_container_is_where_its_parent_is(found: Any, way: str) -> None:
    inside = "/cvat/" if way == "cgroupfs" else "/cvat.slice/libpod-"
    placed = found[way]["placed"]
    assert set(placed) == {*GREEDY, "outside"}
    assert all(placed[name].startswith(inside) for name in GREEDY), placed
    assert not placed["outside"].startswith(("/cvat/", "/cvat.slice/")), placed


def test_it_is_the_second_version_of_cgroups(found: Any) -> None:
    assert found["systemd"]["host"] == {"manager": "systemd", "version": "v2"}
    assert found["cgroupfs"]["host"] == {"manager": "cgroupfs", "version": "v2"}


@pytest.mark.parametrize("way", WAYS)
def test_the_kernel_bounds_all_together(found: Any, way: str) -> None:
    """Each alone would fit: one is killed, the other then has all that it wants."""
    seen = found[way]
    assert seen["settled"]
    assert len(seen["killed"]) == 1
    files = seen["files"]
    assert int(files["memory.max"]) == LIMIT
    # A charge is counted before it is refused.
    assert 140 * MB <= int(files["memory.peak"]) <= LIMIT + MB
    events = dict(line.split() for line in files["memory.events"].splitlines())
    assert int(events["oom_kill"]) >= 1
    assert files["cpu.max"].split() == ["100000", "100000"]


@pytest.mark.parametrize("way", WAYS)
def test_our_own_reading_agrees_with_the_kernels_files(found: Any, way: str) -> None:
    usage, files = found[way]["usage"], found[way]["files"]
    assert (usage["memory_max"], usage["memory_high"], usage["cpu_percent"]) == (LIMIT, LIMIT, 100)
    assert 140 * MB <= usage["memory"] <= LIMIT
    assert f"oom_kill {usage['oom_kills']}\n" in files["memory.events"]


@pytest.mark.parametrize("way", WAYS)
def test_a_container_outside_is_found(found: Any, way: str) -> None:
    assert {stray["container"] for stray in found[way]["strays"]} == {"outside"}


def test_a_units_slice_alone_holds_no_container(found: Any) -> None:
    seen = found["declared"]
    assert seen["units"] == {name: f"/cvat.slice/{name}.service" for name in (*GREEDY, "outside")}
    assert seen["placed"]["outside"].startswith("/machine.slice/")


@pytest.mark.parametrize("way", ["systemd", "cgroupfs"])
def test_the_doctor_says_so(found: Any, way: str) -> None:
    said = found[way]["doctor"]
    wrong = {finding["check"]: finding for finding in said["wrong"]}
    assert said["good"] == ["limits"]
    assert set(wrong) == {"strays", "oom-kills"}
    assert any("of outside is in" in line for line in wrong["strays"]["evidence"])
    assert "for want of memory" in "".join(found[way]["explained"].values())


@pytest.mark.parametrize("way", ["systemd", "cgroupfs"])
def test_limits_below_what_is_used_are_refused_and_undone(found: Any, way: str) -> None:
    seen = found[way]["lowered"]
    assert "the kernel would kill containers at once" in seen["refused"]
    assert seen["undone"]
    raised = seen["raised"]
    assert (raised["memory_max"], raised["memory_high"], raised["cpu_percent"]) == (2 * LIMIT, 2 * LIMIT, 150)


def test_nothing_is_left(found: Any) -> None:
    assert not found["cgroupfs"]["left"]
