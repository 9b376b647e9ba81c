"""`cvatd reset`: CVAT from the beginning again; asks by the name of what will be lost."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

if TYPE_CHECKING:
    from cvatd.core.settings import StackSettings
    from cvatd.stack.reset import Losses


def reset(
    yes: str = typer.Option(None, "--yes", metavar="FOLDER", help="The data folder's name, instead of the question."),
    json_: bool = typer.Option(False, "--json", help="JSON instead of words."),
) -> None:
    """Set all data of CVAT aside and begin anew. Asks first."""
    from datetime import UTC, datetime

    from cvatd.cli import output
    from cvatd.cli.board import Board, watch
    from cvatd.cli.stack import open_runner
    from cvatd.stack import reset
    from cvatd.stack.plan import refuse_foreign

    with open_runner() as runner:
        settings = runner.settings
        reset.check(settings)
        refuse_foreign(runner.stack(), runner.podman.containers())
        shown = sys.stderr if json_ else sys.stdout
        print(*loss_lines(reset.losses(runner.podman, settings), settings), sep="\n", file=shown, flush=True)
        confirm(yes, settings.data_dir, shown)
        present = [name for name, found in runner.podman.containers().items() if found.ours]
        left = "Interrupted. No data were deleted: `cvatd reset` goes on, `cvatd up` brings CVAT back."
        now = datetime.now(UTC)
        aside = watch(Board(present), lambda tell: reset.reset(runner, tell, now), lambda _: left, shown)
        back = restore_lines(settings.data_dir, aside)
        output.emit({"aside": str(aside), "bring_back": back}, json_, "\n".join(done_lines(aside, back)))


def loss_lines(losses: "Losses", settings: "StackSettings") -> list[str]:
    from cvatd.core import words

    lines = [f"This sets {settings.data_dir} aside. CVAT will know nothing of what is in it now:"]
    if losses.counts:
        lines.append(
            "  " + ", ".join(f"{count} {what[:-1] if count == 1 else what}" for what, count in losses.counts.items())
        )
    else:
        lines.append("  users, projects and tasks: unknown, since the database does not answer")
    for name, size in losses.folders.items():
        lines.append(f"  {name:<10} {'' if size.whole else 'more than '}{words.size(size.bytes)}")
    if settings.database is not None:
        outside = settings.database
        lines.append(f"The database {outside.name} on {outside.host} is outside of the stack and is NOT touched:")
        lines.append("  empty it yourself, or CVAT will list tasks whose images are gone.")
    return lines


def confirm(yes: str | None, folder: Path, shown: TextIO) -> None:
    """Raises CvatdError "usage" unless the folder was named."""
    from cvatd.core.errors import CvatdError

    if yes is None and not sys.stdin.isatty():
        raise CvatdError("usage", f"Nobody can be asked here. If it is meant: cvatd reset --yes {folder}")
    given = yes
    if given is None:
        print(f"Type {folder} to go on: ", end="", file=shown, flush=True)
        given = input()
    if given.strip() != str(folder):
        raise CvatdError("usage", f"Nothing was done: {given.strip()!r} is not {folder}.")


def restore_lines(folder: Path, aside: Path) -> list[str]:
    """Commands that bring the data back."""
    return [
        "cvatd down",
        f"mv {folder} {folder}.unwanted   # where there is one again",
        f"mv {aside} {folder}",
        "cvatd up",
    ]


def done_lines(aside: Path, back: list[str]) -> list[str]:
    return [
        f"All data are in {aside} and still fill the disk. `cvatd up` begins anew. To bring them back:",
        *(f"  {line}" for line in back),
    ]
