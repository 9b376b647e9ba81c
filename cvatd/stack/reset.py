"""From the beginning again: the stack is taken down and its data folder set aside under another name, never deleted."""

import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import disk_usage, layout
from cvatd.stack.podman import Podman
from cvatd.stack.render import DATABASE_CONTAINER

if TYPE_CHECKING:
    from cvatd.stack.runner import Runner, Tell

COUNT_TIMEOUT_S = 10.0
MEASURE_S = 3.0
COUNTS = {"users": "auth_user", "projects": "engine_project", "tasks": "engine_task"}


@dataclass(frozen=True)
class Losses:
    """What CVAT will not have any more. `counts` is empty where the database does not answer."""

    counts: dict[str, int]
    folders: dict[str, disk_usage.Size]


def check(settings: StackSettings) -> None:
    """Raises CvatdError "reset" with the reason why it cannot be done."""
    folder = settings.data_dir
    if not folder.is_dir():
        raise CvatdError("reset", f"Nothing to reset: there is no {folder}.")
    if os.path.ismount(folder):
        raise CvatdError(
            "reset",
            f"{folder} is a mount point and cannot be renamed: `cvatd down`, then move what lies in it to a folder of "
            "your own.",
        )


def losses(podman: Podman, settings: StackSettings) -> Losses:
    """Within about three seconds and what the database takes to answer."""
    folders = (path for path in layout.folders(settings) if path.parent == settings.data_dir)
    deadline = time.monotonic() + MEASURE_S
    sizes = {path.name: disk_usage.size(path, deadline) for path in folders if path.name not in {"secrets", "state"}}
    return Losses(_counts(podman, settings), {name: size for name, size in sizes.items() if size.bytes})


def reset(runner: "Runner", tell: "Tell", now: datetime) -> Path:
    """Take the stack down and rename its folder; returns where the data are. Raises CvatdError."""
    check(runner.settings)
    folder = runner.settings.data_dir
    aside = folder.with_name(f"{folder.name}.reset-{now:%Y%m%dT%H%M%SZ}")
    with runner.exclusive():
        runner.take_down(tell)
        try:
            folder.rename(aside)
        except OSError as error:
            raise CvatdError("reset", f"{folder} cannot be renamed to {aside}: {error.strerror}.") from None
    return aside


def _counts(podman: Podman, settings: StackSettings) -> dict[str, int]:
    if settings.database is not None:
        return {}
    queries = [f"SELECT '{what}', count(*) FROM {table}" for what, table in COUNTS.items()]  # noqa: S608
    argv = [
        "psql",
        "-XAtq",
        "-F",
        " ",
        "-U",
        "root",
        "-d",
        "cvat",
        *(part for query in queries for part in ("-c", query)),
    ]
    try:
        asked = podman.execute(DATABASE_CONTAINER, argv, timeout_s=COUNT_TIMEOUT_S)
    except CvatdError:
        return {}
    return {what: int(count) for what, count in map(str.split, asked.out.splitlines())}
