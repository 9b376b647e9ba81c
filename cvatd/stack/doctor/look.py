"""Gathers the evidence: every part side by side, each bounded in time, none able to hold up or break the others."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from cvatd.core import local_socket
from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import facts, health, kernel_log, layout, ports, readiness, render, secret_files, versions, wishes
from cvatd.stack.desired import desired
from cvatd.stack.doctor import inside, sizes
from cvatd.stack.doctor.evidence import Details, Evidence, Files, Kernel, Unseen
from cvatd.stack.doctor.mends import wide_secrets
from cvatd.stack.facts import Facts
from cvatd.stack.limits import Parent
from cvatd.stack.podman import Found, Podman
from cvatd.stack.spec import INIT_CONTAINER, Stack, stack_file
from cvatd.stack.status import disk

PART_TIMEOUT_S = 20.0
DAEMON_TIMEOUT_S = 5.0
LOG_LINES = 200
# It writes a line for each request of everybody.
PROXY_LOG_LINES = 2000
CONTAINER_PARTS = ("facts", "details", "strays", "inside", "rules", "lines", "port_holder", "usage")
PODMAN_PARTS = (*CONTAINER_PARTS, "found", "init", "image_ids", "has_network")
Part = TypeVar("Part")


class Later:
    """Work in a thread that nobody waits for longer than is agreed, nor at the end of the program."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + PART_TIMEOUT_S

    def begin(self, work: Callable[[], Part]) -> Callable[[], Part | Unseen]:
        """Starts it; call what comes back for its result."""
        done = threading.Event()
        result: list[Part | Unseen] = []

        def run() -> None:
            try:
                result.append(work())
            except CvatdError as error:
                result.append(Unseen(error.message))
            except Exception as error:  # one part must never break the others
                result.append(Unseen(f"{type(error).__name__}: {error}"))
            finally:
                done.set()

        threading.Thread(target=run, daemon=True).start()

        def wait() -> Part | Unseen:
            if done.wait(max(0.0, self._deadline - time.monotonic())):
                return result[0]
            return Unseen(f"no answer within {PART_TIMEOUT_S:.0f} s")

        return wait


def look(podman: Podman, settings: StackSettings) -> Evidence:
    """Everything that can be seen now. Raises CvatdError "spec" or "release" for settings that no stack can be."""
    plain_stack = render.render(settings)  # as much as can be known without Podman
    later = Later()
    host = later.begin(podman.host)
    restarts = later.begin(lambda: daemon_restarts(settings))
    sizes_part = later.begin(lambda: sizes.look(settings))
    kernel = later.begin(look_kernel)
    files = later.begin(lambda: look_files(settings))
    host_seen = host()
    common = {
        "settings": settings,
        "wishes": wishes.read(settings),
        "host": host_seen,
        "initial_mark": versions.initial_superuser(settings),
        "passwords": secret_files.known(settings),
    }
    if isinstance(host_seen, Unseen):
        away = dict.fromkeys(PODMAN_PARTS, Unseen("Podman cannot be asked"))
        seen = {"stack": plain_stack, **common, **away}
    else:
        parent = Parent(settings.slice, host_seen)
        seen = common | _of_podman(podman, settings, desired(settings, parent), parent, later)
    counted = restarts()
    return Evidence(
        **seen,  # type: ignore[arg-type]
        now=time.time(),
        files=files(),
        sizes=sizes_part(),
        kernel=kernel(),
        restarts={} if isinstance(counted, Unseen) else counted,
    )


def _of_podman(
    podman: Podman, settings: StackSettings, stack: Stack, parent: Parent, later: Later
) -> dict[str, object]:
    """The parts that Podman has to be asked for."""
    found = later.begin(podman.containers)()
    image_ids = later.begin(
        lambda: {image: podman.image_id(image) for image in dict.fromkeys(c.image for c in stack.containers)}
    )
    parts: dict[str, Callable[[], object]] = {"has_network": later.begin(lambda: podman.has_network(stack.network))}
    if isinstance(found, Unseen):
        away = dict.fromkeys(CONTAINER_PARTS, found)
        facts_seen: Facts | Unseen = found
    else:
        away = {}
        ours = {name: one for name, one in found.items() if name in stack.names or name == INIT_CONTAINER}
        asked = later.begin(lambda: facts.gather(podman, settings))
        pids = {name: one.pid for name, one in ours.items() if one.running}
        parts |= {
            "details": later.begin(lambda: look_details(podman, ours, parent.v2)),
            "strays": later.begin(lambda: parent.strays(pids)),
            "inside": later.begin(lambda: inside.look(podman, stack, ours, settings)),
            "rules": later.begin(lambda: inside.look_rules(podman, ours)),
            "lines": later.begin(lambda: look_lines(podman, ours)),
            "port_holder": later.begin(lambda: look_port(settings, ours)),
            "usage": later.begin(parent.usage),
        }
        facts_seen = asked()
    ids = image_ids()
    return {
        "stack": stack,
        "found": found,
        "facts": facts_seen,
        "image_ids": ids,
        "init": _judge(settings, stack, facts_seen, ids),
        **away,
        **{name: part() for name, part in parts.items()},
    }


def _judge(
    settings: StackSettings, stack: Stack, seen: Facts | Unseen, image_ids: Mapping[str, str | None] | Unseen
) -> readiness.InitState | Unseen:
    if isinstance(seen, Unseen):
        return seen
    if isinstance(image_ids, Unseen):
        return image_ids
    image_id = image_ids.get(stack.container("cvat-server").image)
    required = versions.migrations_of(settings, image_id) if image_id else None
    return readiness.init_state(seen.database, seen.redis, required, image_id, settings.superuser.username)


def look_files(settings: StackSettings) -> Files:
    """Owners, modes, secrets and versions below the data folder. Raises CvatdError where it may not be entered."""
    if settings.data_dir.exists() and not os.access(settings.data_dir, os.R_OK | os.X_OK):
        raise CvatdError("data_dir", f"{settings.data_dir} is for root alone: use sudo")
    folder = secret_files.folder(settings)
    names = [name for name in stack_file().secrets if not (name == secret_files.POSTGRES and settings.database)]
    paths = [folder, *(folder / name for name in stack_file().secrets), secret_files.django_key_file(settings)]
    version = versions.data_version(settings)
    return Files(
        missing=[path for path in layout.folders(settings) if settings.data_dir.exists() and not path.is_dir()],
        wrong=layout.wrong_owners(settings),
        wide=wide_secrets(settings.data_dir, paths),
        lost_secrets=[name for name in names if version is not None and not (folder / name).exists()],
        changing_secrets=[name for name in names if secret_files.is_changing(settings, name)],
        disk=disk(settings.data_dir),
        data_version=version,
        postgres_major=versions.postgres_major(settings),
        newest_state_at=_newest(settings.data_dir / "state"),
    )


def look_kernel() -> Kernel:
    return Kernel(
        overcommit_memory=int(Path("/proc/sys/vm/overcommit_memory").read_text()),
        left_over=sum(map(is_left_over, Path("/proc").glob("[0-9]*"))),
    )


def look_port(settings: StackSettings, ours: Mapping[str, Found]) -> str | None:
    """Who has the proxy's port while the proxy does not run; None when nobody has."""
    proxy = ours.get("cvat-proxy")
    if proxy is not None and proxy.state in {"running", "paused"}:
        return None
    fault = ports.why_not(settings.host, settings.port)
    return None if fault is None else ports.holder(settings.host, settings.port) or f"somebody ({fault})"


def look_details(podman: Podman, ours: Mapping[str, Found], v2: bool) -> dict[str, Details]:
    kills = kernel_log.kills()
    return {
        name: _details(podman, name, kernel_log.names(kills, found.id, found.started_at), v2)
        for name, found in ours.items()
    }


def look_lines(podman: Podman, ours: Mapping[str, Found]) -> dict[str, list[str]]:
    """The last lines of each container's log."""
    lines = {name: PROXY_LOG_LINES if name == inside.PROXY else LOG_LINES for name in ours}
    return {name: podman.logs(name, count).splitlines() for name, count in lines.items()}


def daemon_restarts(settings: StackSettings) -> dict[str, int]:
    """As the daemon counts them. Raises CvatdError "unreachable" where none runs."""
    answer = local_socket.get(settings.socket, "/status", DAEMON_TIMEOUT_S)
    if answer["data_dir"] != str(settings.data_dir):
        return {}
    return {container["name"]: int(container["restarts"] or 0) for container in answer["containers"]}


def _details(podman: Podman, name: str, killed: bool, v2: bool) -> Details:
    """`killed`: the kernel's log names it."""
    inspected = podman.inspect(name)
    log = inspected["HostConfig"].get("LogConfig", {}).get("Path") or ""
    try:
        log_bytes = Path(log).stat().st_size if log else 0
    except OSError:
        log_bytes = 0
    return Details(
        restarts=int(inspected.get("RestartCount") or 0),
        oom_killed=health.memory_mark(killed, bool(inspected["State"].get("OOMKilled")), v2),
        networks=frozenset(inspected["NetworkSettings"].get("Networks") or {}),
        log_bytes=log_bytes,
    )


def _newest(folder: Path) -> float:
    """When the newest file right in this folder was written."""
    try:
        return max((file.stat().st_mtime for file in folder.iterdir() if file.is_file()), default=0.0)
    except OSError:
        return 0.0


def is_left_over(process: Path) -> bool:
    """A conmon of a command (not of a container) that has no child any more."""
    try:
        if (process / "comm").read_text() != "conmon\n" or b"--exec-attach" not in (process / "cmdline").read_bytes():
            return False
        return not (process / "task" / process.name / "children").read_text().strip()
    except OSError:
        return False
