"""Runs inside of the virtual machine, as root: makes containers as cvatd does, lets them ask for too much, and writes
down where everything was. `test_slice.py` judges.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cvatd.core.errors import CvatdError
from cvatd.core.settings import LimitSettings, StackSettings
from cvatd.stack import secret_files
from cvatd.stack.limits import CGROUPS, Parent, memory_cgroup
from cvatd.stack.podman import Podman
from cvatd.stack.runner import Runner

CARRIED = Path("/carried")
SOCKET = Path("/run/podman-nightly.sock")
CONFIG = Path("/run/settings.json")
UNITS = Path("/etc/systemd/system")
IMAGE = "docker.io/library/greedy:1"
MB = 1 << 20
LIMIT = 192 * MB
LIMITS = {"cpu_percent": 100, "memory_high": LIMIT, "memory_max": LIMIT}
COMMAND_TIMEOUT_S = 120
WAIT_S = 120
# They begin when all have been looked at.
GO = Path("/run/go")
# Step by step, so that two of them meet at the bound; each alone stays below it.
GREEDY = [
    "sh",
    "-c",
    """
    until [ -e /go/now ]; do sleep 1; done
    exec awk 'BEGIN {
        for (i = 0; i < 140; i++) held[i] = sprintf("%1048576s", i)
        print "all"; fflush(); system("sleep 900")
    }'
    """,
]
IDLE = ["sleep", "900"]
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
events_logger = "file"
[network]
network_backend = "netavark"
"""


def main() -> None:
    Path("/etc/containers/containers.conf").write_text(CONTAINERS_CONF)
    Path("/etc/containers/policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    GO.mkdir()
    podman("load", "--quiet", "--input", str(CARRIED / "image.tar"))
    found = {"systemd": under("systemd"), "declared": declared_slice(), "cgroupfs": under("cgroupfs")}
    Path(sys.argv[1]).write_text(json.dumps(found) + "\n")


def under(manager: str) -> dict[str, Any]:
    """cvatd makes the parent and the containers itself."""
    greedy = {"image": IMAGE, "command": GREEDY, "mounts": [f"{GO}:/go:ro"]}
    settings = configure({"greedy": greedy, "grabbing": greedy, "outside": {"image": IMAGE, "command": IDLE}})
    with service(manager) as client:
        runner = Runner(client, settings)
        runner.prepare()
        stack = runner.stack()
        client.ensure_network(stack.network)
        for name, parent in (
            ("greedy", runner.parent.argument),
            ("grabbing", runner.parent.argument),
            ("outside", None),
        ):
            client.create(stack.container(name), stack.network, parent, secret_files.folder(settings))
            client.start(name)
        found = bounded(client, runner.parent)
        found |= {"host": {"manager": runner.host.cgroup_manager, "version": runner.host.cgroup_version}}
        found["explained"] = {name: runner.explain_end(name) for name in found["killed"]}
        found["doctor"] = doctor("limits", "strays", "oom-kills")
        found["lowered"] = lowered(runner.parent)
        podman("rm", "--force", "--all", "--time", "0")
        runner.parent.remove()
        found["left"] = (CGROUPS / "cvat").exists()
    if manager == "systemd":
        run("systemctl", "revert", "cvat.slice")
        run("systemctl", "stop", "cvat.slice")
    return found


def declared_slice() -> dict[str, Any]:
    """The slice is a unit of the host's configuration, and units start the containers, as on NixOS."""
    (UNITS / "cvat.slice").write_text((CARRIED / "cvat.slice").read_text())
    run("systemctl", "daemon-reload")
    settings = configure({})
    with service("systemd") as client:
        parent = Parent(settings.slice, client.host())
        parent.ensure(LimitSettings(memory_high=900 * MB, memory_max=900 * MB))  # not its to change here
        for name in ("greedy", "grabbing"):
            by_unit(name, "--cgroup-parent=cvat.slice", f"--volume={GO}:/go:ro", IMAGE, *GREEDY)
        by_unit("outside", IMAGE, *IDLE)  # its unit lies in the slice: that alone holds no container
        names = ("greedy", "grabbing", "outside")
        show = ("systemctl", "show", "--property=ControlGroup", "--value")
        units = {name: run(*show, f"{name}.service") for name in names}
        found = bounded(client, parent) | {"units": units}
        podman("rm", "--force", "--all", "--time", "0")
    (UNITS / "cvat.slice").unlink()
    run("systemctl", "daemon-reload")
    run("systemctl", "stop", "cvat.slice")
    return found


def bounded(client: Podman, parent: Parent) -> dict[str, Any]:
    """Where the containers' processes are, and what became of those that want more than there is."""
    pids = {name: found.pid for name, found in client.containers().items() if found.running}
    placed = {name: memory_cgroup(Path(f"/proc/{pid}/cgroup").read_text()) for name, pid in pids.items()}
    strays = [asdict(stray) for stray in parent.strays(pids)]
    (GO / "now").touch()

    def ended() -> list[str]:
        return [name for name, found in client.containers().items() if found.state == "exited"]

    def settled() -> bool:
        left = {"greedy", "grabbing"} - set(ended())
        return len(left) == 1 and client.logs(left.pop(), 5).strip() == "all"

    settles = wait_for(settled)
    (GO / "now").unlink()
    usage, folder = parent.usage(), Path(f"{CGROUPS}{parent.path}")
    return {
        "placed": placed,
        "strays": strays,
        "settled": settles,
        "killed": [name for name in ended() if client.containers()[name].exit_code == 137],
        "usage": asdict(usage) if usage else None,
        # Read once more without our own code.
        "files": {
            name: (folder / name).read_text() for name in ("memory.max", "memory.peak", "memory.events", "cpu.max")
        },
    }


def lowered(parent: Parent) -> dict[str, Any]:
    """Limits below what is used are refused and undone; others hold at once."""
    high = Path(f"{CGROUPS}{parent.path}/memory.high")
    before = high.read_text()
    try:
        parent.ensure(LimitSettings(memory_high=32 * MB, memory_max=32 * MB))
        refused = None
    except CvatdError as error:
        refused = str(error)
    after = high.read_text()
    parent.ensure(LimitSettings(cpu_percent=150, memory_high=2 * LIMIT, memory_max=2 * LIMIT))
    usage = parent.usage()
    return {"refused": refused, "undone": before == after, "raised": asdict(usage) if usage else None}


def doctor(*checks: str) -> Any:
    """What `cvatd doctor` says."""
    command = [sys.executable, "-c", "from cvatd.cli.main import main; main()", "doctor", *checks, "--json"]
    environment = os.environ | {"CVATD_CONFIG": str(CONFIG), "CONTAINER_HOST": f"unix://{SOCKET}"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    return json.loads(done.stdout) if done.stdout else done.stderr


def configure(extra: dict[str, Any]) -> StackSettings:
    stack = {"data_dir": "/var/lib/cvat", "slice": "cvat", "limits": LIMITS, "extra_containers": extra}
    CONFIG.write_text(json.dumps({"data_dir": "/var/lib/cvatd", "stack": stack}))
    return StackSettings.model_validate(stack)


@contextmanager
def service(manager: str) -> Iterator[Podman]:
    """Podman's service with this cgroup manager."""
    process = subprocess.Popen(
        ["podman", f"--cgroup-manager={manager}", "system", "service", "--time=0", f"unix://{SOCKET}"]
    )
    try:
        assert wait_for(SOCKET.exists), "Podman's service does not come up"
        with Podman(f"unix://{SOCKET}") as client:
            yield client
    finally:
        process.terminate()
        process.wait(COMMAND_TIMEOUT_S)
        SOCKET.unlink(missing_ok=True)


def by_unit(name: str, *arguments: str) -> None:
    """With the flags that NixOS's oci-containers gives."""
    run(
        *("systemd-run", f"--unit={name}", "--slice=cvat.slice", "-p", "Type=notify", "-p", "NotifyAccess=all"),
        *("podman", "--cgroup-manager=systemd", "run", f"--name={name}", "--log-driver=k8s-file"),
        *("--cgroups=enabled", "--sdnotify=conmon", "--detach", "--network=none", *arguments),
    )


def wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def podman(*arguments: str) -> str:
    return run("podman", *arguments)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout.strip()


if __name__ == "__main__":
    main()
