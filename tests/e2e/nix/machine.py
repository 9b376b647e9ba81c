"""A machine whose PID 1 is systemd, with a Podman of its own: a container over this machine's own root.

In the safe form: a private cgroup namespace and no hand of Podman's in systemd's affairs, so that nothing of the host's
cgroups changes.
"""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.images.build import POSTGRES
from tests.podman_host import CONTAINERS_CONF, ROOT, PodmanHost

NAME = "cvatd-tests-machine"
BOOT_TIMEOUT_S = 60
COMMAND_TIMEOUT_S = 60
STORAGE_CONF = """\
[storage]
driver = "overlay"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
[storage.options]
additionalimagestores = ["/var/lib/shared"]
"""


class Machine:
    """`units` is what nix/tests/stack.nix builds. `close` leaves nothing behind."""

    def __init__(self, host: PodmanHost, units: Path) -> None:
        self._host = host
        # Podman's layers need a file system of their own: an overlay cannot lie on an overlay.
        self._folder = Path(tempfile.mkdtemp(prefix="machine-", dir=host.dir))
        try:
            self._boot()
            self._declare(units)
        except BaseException:
            self.close()
            raise

    def run(
        self, *command: str, check: bool = True, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        done = self._host.run("exec", NAME, *command, check=False, timeout_s=timeout_s)
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def systemctl(self, *arguments: str, check: bool = True, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        return self.run("systemctl", *arguments, check=check, timeout_s=timeout_s).stdout.strip()

    def containers(self) -> dict[str, dict[str, Any]]:
        """All containers of the machine's own Podman by name: state, first process, id."""
        listed = json.loads(self.run("podman", "ps", "--all", "--format", "json").stdout or "[]")
        return {container["Names"][0]: container for container in listed}

    def cgroup(self, pid: int) -> str:
        """The memory cgroup of a process, as the machine sees it."""
        for line in self.run("cat", f"/proc/{pid}/cgroup").stdout.splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                return path
        raise AssertionError(f"process {pid} is in no memory cgroup")

    def explain(self, *units: str) -> str:
        """What the units' journals say at their ends."""
        named = [f"--unit={unit}" for unit in units]
        done = self.run("journalctl", "--no-pager", "--lines=60", "--output=cat", *named, check=False)
        return done.stdout + done.stderr

    def close(self) -> None:
        for command in (["kill", NAME], ["rm", "--force", "--time", "0", NAME]):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._host.run(*command, check=False, timeout_s=30)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _boot(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._host.run("rm", "--force", "--time", "0", NAME, check=False, timeout_s=30)
        self._host.run(
            *("run", "--detach", "--name", NAME, "--systemd=false", "--privileged", "--cgroupns=private"),
            *("--stop-signal", "SIGRTMIN+3", "--env", "container=podman", "--hostname", "machine"),
            *("--tmpfs", "/run:rw,mode=755,exec,notmpcopyup", "--tmpfs", "/run/lock:notmpcopyup"),
            *("--tmpfs", "/tmp:exec,notmpcopyup", "--tmpfs", "/etc/containers:rw,mode=755,notmpcopyup"),
            *("--tmpfs", "/var/lib/postgresql:notmpcopyup"),  # Debian's own cluster stays out of sight
            *("--volume", f"{self._folder}:/var/lib/containers"),
            *("--volume", f"{self._host.dir / 'root'}:/var/lib/shared:ro"),
            *("--volume", f"{ROOT}:{ROOT}", "--volume", "/nix:/nix:ro"),
            *("--rootfs", "/:O"),
            *("/sbin/init", "systemd.legacy_systemd_cgroup_controller=1", "systemd.unit=basic.target"),
        )
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        while (state := self.systemctl("is-system-running", check=False)) not in {"running", "degraded"}:
            assert time.monotonic() < deadline, f"the machine is {state or 'not there'}"
            time.sleep(0.1)

    def _declare(self, units: Path) -> None:
        """What `nixos-rebuild switch` lays down of our host."""
        containers_conf = CONTAINERS_CONF.format(conmon=self._host.dir / "conmon", cgroup_manager="systemd")
        self.write("/etc/containers/containers.conf", containers_conf)
        self.write("/etc/containers/storage.conf", STORAGE_CONF)
        self.write("/etc/containers/policy.json", '{"default": [{"type": "insecureAcceptAnything"}]}')
        # Debian has these elsewhere, and a script in the place of psql.
        self.run("ln", "-sf", *(str(POSTGRES / "bin" / name) for name in ("postgres", "initdb", "psql")), "/usr/bin/")
        self.open_way(Path(sys.executable))
        self.switch(units)

    def switch(self, units: Path) -> None:
        """Lay down another declaration. Which units it restarts is NixOS's to do; here they are told apart by text."""
        script = f"""
            set -e
            mkdir -p /etc/cvatd
            cp -L {units}/settings.json /etc/cvatd/settings.json
            systemd-sysusers {units}/users.conf
            systemd-tmpfiles --create {units}/folders.conf
            rm -rf /run/systemd/system/*
            cp -L {units}/units/* /run/systemd/system/
            cd {units}/wants
            for target in *; do
                mkdir -p /run/systemd/system/$target.wants
                for unit in $target/*; do ln -sf ../${{unit#*/}} /run/systemd/system/$target.wants/; done
            done
            systemctl daemon-reload
        """
        self.run("sh", "-c", script)

    def open_way(self, program: Path) -> None:
        """For services of ordinary users: a Python of the tests may lie in the home of root. The host's stays shut."""
        above = [folder for folder in program.resolve().parents if not folder.is_relative_to(ROOT)]
        self.run("chmod", "a+x", *(str(folder) for folder in above if folder != Path("/")))

    def main_process(self, unit: str) -> int:
        return int(self.systemctl("show", "--property=MainPID", "--value", unit))

    def write(self, path: str, content: str) -> None:
        self.run("sh", "-c", 'printf %s "$2" > "$1"', "sh", path, content)
