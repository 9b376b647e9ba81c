"""PostgreSQL refuses to run as root: as root the servers run as somebody else.

Either as the user nobody (uid 65534), where it may reach the folders; or in a user namespace that gives root's own
files another owner's number, which needs no folder to be opened to others.
"""

import functools
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvatd.core.errors import CvatdError

NOBODY = 65534
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")


@dataclass(frozen=True)
class ServerUser:
    """How a server's program is started: words before it, arguments for subprocess, the owner of its folders."""

    prefix: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    owner: int | None = None  # None: the folders stay ours

    def own(self, folder: Path) -> None:
        if self.owner is not None:
            os.chown(folder, self.owner, self.owner)


def choose_user(folders: list[Path]) -> ServerUser:
    """Who runs the servers, given the folders that must be reached. Raises CvatdError "server_user"."""
    if os.geteuid() != 0:
        return ServerUser()
    if all(open_to_others(folder) for folder in folders):
        return ServerUser(options={"user": NOBODY, "group": NOBODY, "extra_groups": []}, owner=NOBODY)
    if namespaces_work():
        return ServerUser(prefix=NAMESPACE)
    closed = next(folder for folder in folders if not open_to_others(folder))
    raise CvatdError(
        "server_user",
        f"PostgreSQL does not run as root, another user cannot reach {closed}, and user namespaces are off here. "
        "Run cvatd as an ordinary user, or put the project where others may enter.",
    )


def open_to_others(folder: Path) -> bool:
    """Whether every folder above may be entered by anybody."""
    return all(parent.stat().st_mode & 0o001 for parent in folder.absolute().parents)


@functools.cache
def namespaces_work() -> bool:
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
