"""Podman's own command line on the same socket: the API's client has no terminal and no standard input."""

import shutil

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import starting
from cvatd.stack.podman import Podman

SHELLS = {
    "db": ("cvat-db", ["psql", "-X", "-U", "root", "-d", "cvat"]),
    "redis": ("cvat-redis", ["redis-cli"]),
    "kvrocks": ("cvat-kvrocks", ["redis-cli", "-p", "6666"]),
    "server": ("cvat-server", ["bash"]),
}
# What the programs inside need to know of the terminal outside.
PASSED_ON = ("TERM", "COLORTERM")


def exec_command(url: str, container: str, argv: list[str], tty: bool) -> list[str]:
    """`podman exec` with standard input, and with a terminal where there is one. Raises CvatdError "podman"."""
    program = shutil.which("podman")
    if program is None:
        raise CvatdError("podman", "There is no program `podman` in PATH: install Podman 4.3 or newer.")
    terminal = ["--tty", *(f"--env={name}" for name in PASSED_ON)] if tty else []
    return [program, "--url", url, "exec", "--interactive", *terminal, container, *argv]


def shell_command(podman: Podman, settings: StackSettings, name: str, tty: bool) -> list[str]:
    """Raises CvatdError "usage" for a name that there is not, "not_running" when its container is not up."""
    if name not in SHELLS:
        raise CvatdError("usage", f"There is no shell {name!r}. There are: {', '.join(SHELLS)}.")
    if name == "db" and settings.database is not None:
        outside = settings.database
        raise CvatdError(
            "usage", f"CVAT's database is outside of the stack: psql -h {outside.host} -U {outside.user} {outside.name}"
        )
    container, argv = SHELLS[name]
    require_running(podman, settings, container)
    return exec_command(podman.url, container, argv, tty)


def require_running(podman: Podman, settings: StackSettings, container: str) -> None:
    """Raises CvatdError "not_running" with what starts it."""
    found = podman.containers().get(container)
    if found is None or not found.running:
        state = f"is {found.state}" if found else "is not there"
        raise CvatdError("not_running", f"{container} {state}: `{starting.those(settings, [container])}` starts it.")
