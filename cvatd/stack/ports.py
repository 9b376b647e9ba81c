"""Who holds a port that a container is to publish? Asked before anything is started."""

import errno
import ipaddress
import socket
import sys
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
            by = holder(publish.host, port)
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


def holder(host: str, port: int) -> str:
    """Who keeps others from listening there, in words; empty where this user may not see it."""
    tables = [_read(Path("/proc/net") / table) for table in TABLES]
    inodes = {f"socket:[{inode}]" for table in tables for inode in listening(table, host, port)}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and inodes & set(_links(process / "fd")):
            return _name(process)
    return ""


def listening(table: str, host: str, port: int) -> list[str]:
    """Inodes of the sockets that listen on this port of this address or of all, out of /proc/net/tcp or tcp6. Pure."""
    found, wanted = [], ipaddress.ip_address(host)
    for line in table.splitlines()[1:]:
        fields = line.split()
        address, _, number = fields[1].rpartition(":")
        if fields[3] == LISTENING and int(number, 16) == port:
            theirs = _address(address)
            if theirs == wanted or theirs.is_unspecified or wanted.is_unspecified:
                found.append(fields[9])
    return found


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The kernel writes each four bytes as a number in the machine's own order."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(word.to_bytes(4, sys.byteorder) for word in words))
    return getattr(address, "ipv4_mapped", None) or address


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
