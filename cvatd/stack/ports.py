"""Who holds a port that a container is to publish? Asked before anything is started."""

import errno
import socket
from collections.abc import Iterable
from pathlib import Path

from cvatd.core.errors import CvatdError
from cvatd.stack.plan import Plan
from cvatd.stack.spec import Stack

LISTENING = "0A"
TABLES = ("tcp", "tcp6")
CONMON = "conmon"


def check(stack: Stack, plan: Plan) -> None:
    """Raises CvatdError "port" with the process or container that holds one which `up` is about to publish."""
    for container in stack.containers:
        if plan.action(container.name) == "keep":
            continue
        for publish in container.publish:
            port = int(publish.host_port)
            fault = why_not(publish.host, port)
            if fault is None:
                continue
            by = holder(port)
            if by != f"the container {container.name}":
                raise CvatdError(
                    "port",
                    f"{container.name} cannot have {publish.host}:{port}: {fault}"
                    f"{f' by {by}' if by else ''}. Free it, or set stack.host and stack.port.",
                )


def why_not(host: str, port: int) -> str | None:
    """Why nobody can listen there now; None when one can. By trying: the kernel's tables do not tell of all."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "it is taken"
            if error.errno == errno.EADDRNOTAVAIL:
                return "this host has no such address"
            return error.strerror or str(error)
    return None


def holder(port: int) -> str:
    """In words; empty where this user may not see it."""
    inodes = {f"socket:[{inode}]" for table in TABLES for inode in listening(_read(Path("/proc/net") / table), port)}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and inodes & set(_links(process / "fd")):
            return _name(process)
    return ""


def listening(table: str, port: int) -> list[str]:
    """Inodes of the sockets that listen on this port, out of /proc/net/tcp or tcp6. Pure."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == LISTENING and int(fields[1].rsplit(":", 1)[1], 16) == port:
            found.append(fields[9])
    return found


def _name(process: Path) -> str:
    """Podman holds the ports of a container in the process that watches over it, which carries its name."""
    name = _read(process / "comm").strip()
    arguments = _read(process / "cmdline").split("\0")
    if name == CONMON and "-n" in arguments[:-1]:
        return f"the container {arguments[arguments.index('-n') + 1]}"
    return f"{name or 'a process'} (process {process.name})"


def _links(folder: Path) -> Iterable[str]:
    try:
        for file in folder.iterdir():
            try:
                yield str(file.readlink())
            except OSError:
                continue  # closed meanwhile
    except OSError:
        return  # ended, or another user's


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
