"""A whole virtual machine with a kernel of its own: Debian under qemu, true cgroup v2, systemd, Podman.

Without KVM, so that it runs wherever the tests run; each command in it takes seconds. It has no network. One program
is carried in on a second disk, and what it finds comes back by a serial line.
"""

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.podman_host import ROOT

FOLDER = ROOT / ".cache" / "vm"
DISK, KERNEL, INITRD = FOLDER / "root.ext4", FOLDER / "vmlinuz", FOLDER / "initrd"
BUILD_TIMEOUT_S = 1200
RUN_TIMEOUT_S = 900
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "udev", "kmod", "linux-image-cloud-amd64", "initramfs-tools"),
    *("podman", "runc", "netavark", "aardvark-dns", "iptables", "iproute2", "catatonit", "procps", "python3"),
)
NOT_NEEDED = ("doc", "man", "locale")
SERVICE = """\
[Unit]
Description=The program on the second disk
FailureAction=poweroff-force
SuccessAction=poweroff-force
[Service]
Type=oneshot
ExecStart=mkdir /carried
ExecStart=tar --extract --file=/dev/vdb --directory=/carried
ExecStart=python3 /carried/program.py /dev/ttyS1
WorkingDirectory=/
Environment=HOME=/root PYTHONPATH=/carried/site:/carried
StandardOutput=journal+console
StandardError=journal+console
"""
TARGET = """\
[Unit]
Requires=basic.target
After=basic.target
Wants=carried.service
"""


def missing() -> str | None:
    """Why there can be no such machine here; None when there can."""
    absent = [name for name in ("qemu-system-x86_64", "mmdebstrap", "mke2fs") if not shutil.which(name)]
    return f"no {', '.join(absent)}" if absent else None


def ensure() -> None:
    """Make the disk where it is not there; minutes, once."""
    mark = FOLDER / "packages"
    wanted = " ".join(PACKAGES) + SERVICE + TARGET
    if mark.exists() and mark.read_text() == wanted and DISK.exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="root-", dir=FOLDER) as folder:
        root = Path(folder) / "root"
        _run(
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            *_without(),
            "bookworm",
            root,
        )
        for name, text in {"carried.service": SERVICE, "carried.target": TARGET}.items():
            (root / "etc" / "systemd" / "system" / name).write_text(text)
        for link, file in (("vmlinuz", KERNEL), ("initrd.img", INITRD)):
            shutil.copyfile((root / link).resolve(), file)
        DISK.unlink(missing_ok=True)
        _run("mke2fs", "-q", "-t", "ext4", "-d", root, DISK, "4G")
    mark.write_text(wanted)


def run(carried: Iterable[tuple[Path, str]]) -> Any:
    """Boot, run `program.py` of what is carried in as root, and give back the JSON that it writes to its argument."""
    with tempfile.TemporaryDirectory(prefix="run-", dir=FOLDER) as folder:
        disk, console, said = (Path(folder) / name for name in ("carried.tar", "console", "said"))
        with tarfile.open(disk, "w") as tar:
            for source, name in carried:
                tar.add(source, name)
        command = [
            *("qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "Nehalem"),
            *("-smp", "2", "-m", "1536", "-nodefaults", "-no-reboot", "-display", "none", "-nic", "none"),
            *("-serial", f"file:{console}", "-serial", f"file:{said}"),
            *("-kernel", str(KERNEL), "-initrd", str(INITRD)),
            *("-append", "root=/dev/vda rw console=ttyS0 quiet mitigations=off systemd.unit=carried.target"),
            *("-drive", f"file={DISK},format=raw,if=virtio,snapshot=on,cache=unsafe"),
            *("-drive", f"file={disk},format=raw,if=virtio,readonly=on"),
        ]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=RUN_TIMEOUT_S, check=False)
        seen = console.read_text(errors="replace") if console.exists() else ""
        text = said.read_text() if said.exists() else ""
        assert text.strip(), f"the machine ended with {ended.returncode}:\n{seen[-4000:]}"
        return json.loads(text)


def _without() -> list[str]:
    return ["--aptopt=Acquire::Languages none", *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in NOT_NEEDED)]


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_TIMEOUT_S)
    assert done.returncode == 0, f"{command[0]}: {done.stderr[-3000:]}"
