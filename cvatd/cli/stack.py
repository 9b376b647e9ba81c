"""`cvatd up`, `down`, `restart`, `wait`, `plan`, `ps`, `init`, `manage`, `prepare`: CVAT's containers on this host."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from cvatd.cli.board import Board
    from cvatd.stack.plan import Plan
    from cvatd.stack.runner import Runner
    from cvatd.stack.spec import Stack

JSON = typer.Option(False, "--json", help="JSON instead of words.")
NAMES = typer.Argument(None, help="Containers, such as cvat-server or server; all when none is named.")


def up(
    json_: bool = JSON,
    no_wait: bool = typer.Option(False, "--no-wait", help="Do not wait until CVAT as a whole is ready."),
) -> None:
    """Bring CVAT up as it is declared. Only what differs is changed."""
    from cvatd.cli import output, plan_words
    from cvatd.cli.board import watch

    with open_runner() as runner:
        stack = runner.stack()
        for warning in stack.warnings:
            typer.echo(f"note: {warning}", err=True)
        shown = sys.stderr if json_ else sys.stdout
        plan = runner.plan(stack)
        lines = plan_words.plan_lines(plan)
        if lines:
            print(f"CVAT {stack.version} in {runner.settings.data_dir}:", *lines, "", sep="\n", file=shown, flush=True)
        board = _board(stack, plan)
        result = watch(
            board,
            lambda tell: runner.up(tell, wait_ready=not no_wait),
            _left_by_up,
            shown,
            lambda: _show_migrations(runner, board),
        )
        url = address(runner)
        if json_:
            done = result.initialised
            output.emit(
                {
                    "version": stack.version,
                    "url": url,
                    "seconds": round(result.seconds, 2),
                    "plan": plan_words.plan_json(result.plan),
                    "initialised": {"ran": done.ran, "words": done.words, "superuser_made": done.superuser_made},
                },
                True,
            )
            return
        state = "started" if no_wait else "ready"
        if result.plan.empty and not result.initialised.ran:
            count = len(stack.containers)
            typer.echo(f"Nothing to do: all {count} containers run as declared and CVAT is {state} at {url}")
            return
        user = runner.settings.superuser.username
        typer.echo(f"\nCVAT is {state} at {url} ({result.seconds:.0f} s).")
        typer.echo(f"Sign in as {user}; `cvatd password` prints the password.")


def down(json_: bool = JSON) -> None:
    """Stop CVAT's containers and remove them; the data stay."""
    from cvatd.cli import output
    from cvatd.cli.board import Board, watch

    with open_runner() as runner:
        present = [name for name, found in runner.podman.containers().items() if found.ours]
        order = [name for name in runner.stack().names if name in present]
        board = Board([*order, *(name for name in present if name not in order)])
        watch(board, runner.down, _left_by_down, sys.stderr if json_ else sys.stdout)
        kept = f"The data stay in {runner.settings.data_dir}."
        count = f"{len(present)} container{'s' * (len(present) != 1)}"
        words = f"{count} removed. {kept}" if present else f"Nothing to do: nothing runs. {kept}"
        output.emit({"removed": sorted(present), "data_dir": str(runner.settings.data_dir)}, json_, words)


def restart(names: list[str] = NAMES) -> None:
    """Stop and start containers without making them anew."""
    from cvatd.cli.board import Board, watch

    with open_runner() as runner:
        chosen = [full_name(name, runner.stack().names) for name in names or []]
        board = Board(chosen or runner.stack().names)
        watch(board, lambda tell: runner.restart(chosen, tell), _left_by_restart)


def wait(
    timeout: float | None = typer.Option(None, min=0, help="Seconds; stack.ready_timeout_s when not given."),
) -> None:
    """Wait until CVAT is ready; when the time is over, say all that is missing."""
    from cvatd.cli.board import Board, watch
    from cvatd.stack.waiting import ALL, wait_ready

    with open_runner() as runner:
        timeout_s = runner.settings.ready_timeout_s if timeout is None else timeout
        board = Board([ALL], transient=True)
        watch(board, lambda tell: wait_ready(runner, runner.stack(), tell, timeout_s), _left_by_wait)
        typer.echo(f"CVAT is ready at {address(runner)}")


def plan(json_: bool = JSON) -> None:
    """Say what `up` would do and why, and do nothing."""
    from cvatd.cli import output, plan_words

    with open_runner() as runner:
        stack = runner.stack()
        found = runner.plan(stack)
        lines = plan_words.plan_lines(found)
        words = [f"`cvatd up` would, for CVAT {stack.version} in {runner.settings.data_dir}:", *lines]
        if stopped := plan_words.summary(found):
            words += ["", stopped]
        nothing = f"Nothing to do: all {len(stack.containers)} containers run as declared."
        json_plan = {"version": stack.version, **plan_words.plan_json(found), "warnings": stack.warnings}
        output.emit(json_plan, json_, "\n".join(words) if lines else nothing)
        if not json_:
            for warning in stack.warnings:
                typer.echo(f"note: {warning}", err=True)


def ps(json_: bool = JSON) -> None:
    """Show the containers, their health and what they run."""
    from cvatd.cli import output
    from cvatd.cli.ps import ask, row, row_json
    from cvatd.stack import starting

    with open_runner() as runner:
        seen = ask(runner.podman, runner.stack())
        if json_:
            output.emit({"containers": [row_json(container) for container in seen]}, True)
            return
        heads = ["container", "state", "health", "since", "image"]
        nothing = f"No containers. `{starting.all_of_them(runner.settings)}` makes them."
        output.table(heads, [row(container) for container in seen], nothing)


def init(json_: bool = JSON) -> None:
    """Bring CVAT's database up to date, once, and make its superuser.

    Exit status 3 when it cannot be done now: the database is away or starting.
    """
    from cvatd.cli import output
    from cvatd.stack.desired import check_data

    with open_runner() as runner:
        stack = runner.stack()
        check_data(runner.settings, stack)
        done = runner.initialiser(stack).ensure(lambda words: typer.echo(words, err=True))
        words = f"Nothing to do: CVAT {stack.version} is initialised."
        if done.ran:
            words = f"CVAT {stack.version} is initialised ({done.words})."
        if done.superuser_made:
            user = runner.settings.superuser.username
            words += f"\nThe superuser {user!r} was made: `cvatd password` prints the password."
        fields = {"ran": done.ran, "words": done.words, "superuser_made": done.superuser_made}
        output.emit({"version": stack.version, **fields}, json_, words)


def manage(
    arguments: list[str] = typer.Argument(help="For manage.py, after `--`: cvatd manage -- migrate --fake app 0002"),
) -> None:
    """Run Django's manage.py in a container of its own, never beside an init: the way of `cvat-manage migrate`.

    The exit status is that of manage.py. One that is at work already is waited for.
    """
    from cvatd.stack.desired import check_data
    from cvatd.stack.spec import INIT_CONTAINER

    def show(of_errors: bool, line: str) -> None:
        print(line, end="", file=sys.stderr if of_errors else sys.stdout, flush=True)

    with open_runner() as runner:
        stack = runner.stack()
        check_data(runner.settings, stack)
        try:
            status = runner.initialiser(stack).manage(arguments, lambda words: typer.echo(words, err=True), show)
        except KeyboardInterrupt:
            typer.echo(f"It goes on in {INIT_CONTAINER}: `podman logs {INIT_CONTAINER}` shows it.", err=True)
            raise
    raise typer.Exit(status)


def prepare(json_: bool = JSON) -> None:
    """Make folders, secrets and the proxy's configuration; start nothing."""
    from cvatd.cli import output

    with open_runner() as runner:
        with runner.exclusive():
            made = runner.prepare()
        words = "\n".join(f"made {name}" for name in made) or "Nothing to do: all that containers need is there."
        output.emit({"made": made, "data_dir": str(runner.settings.data_dir)}, json_, words)


@contextmanager
def open_runner() -> "Iterator[Runner]":
    from cvatd.core.settings import load_settings
    from cvatd.stack.podman import Podman
    from cvatd.stack.runner import Runner

    settings = load_settings().stack
    with Podman(settings.podman_url) as podman:
        yield Runner(podman, settings)


def full_name(name: str, names: list[str]) -> str:
    """`server` is short for `cvat-server`. Raises CvatdError "usage" with the names that there are."""
    from cvatd.core.errors import CvatdError

    for candidate in (name, f"cvat-{name}"):
        if candidate in names:
            return candidate
    raise CvatdError("usage", f"There is no container {name!r}. There are: {', '.join(names)} (cvat- may be left out).")


def address(runner: "Runner") -> str:
    """Where people find CVAT."""
    return runner.settings.public_url or runner.settings.local_url


def _board(stack: "Stack", plan: "Plan") -> "Board":
    """A row for each container, in the order of the work; where none changes, of the work alone that is left."""
    from cvatd.cli.board import Board
    from cvatd.stack.runner import INIT
    from cvatd.stack.waiting import ALL

    if plan.empty:
        return Board([INIT, ALL], transient=True)
    images: dict[str, list[str]] = {}
    for container in stack.containers:
        images.setdefault(container.image, []).append(container.name)
    first = [container.name for container in stack.containers if not container.initialised]
    last = [container.name for container in stack.containers if container.initialised]
    board = Board([*first, INIT, *last, ALL], images)
    for change in plan.changes:
        if change.action == "keep":
            board.tell(change.container, "unchanged", "")
    return board


def _show_migrations(runner: "Runner", board: "Board") -> None:
    """They take minutes on much data: the last line that they wrote."""
    import contextlib

    from cvatd.core.errors import CvatdError
    from cvatd.stack.runner import INIT
    from cvatd.stack.spec import INIT_CONTAINER

    if board.rows[INIT].state != "working":
        return
    with contextlib.suppress(CvatdError, OSError):
        written = runner.podman.logs(INIT_CONTAINER, 1).strip()
        if written:
            board.amend(INIT, "working", written.splitlines()[-1])


def _left_by_up(board: "Board") -> str:
    from cvatd.cli.board import GOOD

    at_work = [name for name, state, *_ in board.snapshot() if state and state not in GOOD | {"waiting"}]
    words = f" ({', '.join(at_work)} in the middle of it)" if at_work else ""
    return f"Interrupted{words}. What was started stays: `cvatd up` finishes the work, `cvatd down` takes it away."


def _left_by_down(_: "Board") -> str:
    return "Interrupted. Some containers may still run: `cvatd down` finishes the work, `cvatd up` brings all back."


def _left_by_restart(_: "Board") -> str:
    return "Interrupted. A container may be stopped: `cvatd restart` or `cvatd up` starts it."


def _left_by_wait(_: "Board") -> str:
    return "Interrupted. Nothing was changed."
