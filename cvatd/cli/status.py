"""`cvatd status` and `cvatd queues`: how CVAT is doing."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from cvatd.cli.status_words import Rate
    from cvatd.core.settings import StackSettings
    from cvatd.stack.limits import Parent
    from cvatd.stack.status import Status

NOT_READY = 3
REDRAW_S = 2.0
DAEMON_TIMEOUT_S = 20.0

Ask = Callable[[], "Status"]


def status(
    json_: bool = typer.Option(False, "--json", help="JSON instead of words."),
    watch: bool = typer.Option(False, "--watch", help="Show it anew every 2 s until Ctrl-C."),
) -> None:
    """Show containers, versions, queues, limits and disk. Exit status 3 when CVAT is not ready."""
    with open_source() as ask:
        if watch:
            _watch(ask, json_)
        seen = ask()
        _show(seen, json_)
    if not seen.ready:
        raise typer.Exit(NOT_READY)


def queues(json_: bool = typer.Option(False, "--json", help="JSON instead of words.")) -> None:
    """Show CVAT's queues, how much waits in each, and who works on it."""
    from cvatd.cli import output, status_words
    from cvatd.core.errors import CvatdError

    with open_source() as ask:
        seen = ask()
    if seen.queues_fault:
        raise CvatdError("store_away", f"The queues cannot be asked: {seen.queues_fault}.")
    if json_:
        fields = {"queues", "workers"}
        output.emit(seen.model_dump(mode="json", include=fields), True)
        return
    output.table(*status_words.queues(seen), "No queues.")
    for queue in seen.queues:
        if queue.lacks:
            typer.echo(f"warning: {queue.lacks}", err=True)


@contextmanager
def open_source() -> Iterator[Ask]:
    """Where a status comes from: the daemon if it looks after the same data, else this process itself."""
    from cvatd.core.settings import load_settings

    settings = load_settings().stack
    if (first := _of_daemon(settings)) is not None:
        kept = [first]
        yield lambda: kept.pop() if kept else _of_daemon(settings) or _gather_once(settings)
        return
    with _own(settings) as ask:
        yield ask


def _of_daemon(settings: "StackSettings") -> "Status | None":
    """None where no daemon answers, or one of other data."""
    from pydantic import ValidationError

    from cvatd.core import local_socket
    from cvatd.core.errors import CvatdError
    from cvatd.stack.status_model import Status

    try:
        answer = Status.model_validate(local_socket.get(settings.socket, "/status", DAEMON_TIMEOUT_S))
    except (CvatdError, ValidationError):
        return None
    return answer if answer.data_dir == settings.data_dir else None


@contextmanager
def _own(settings: "StackSettings") -> Iterator[Ask]:
    from cvatd.stack.podman import Podman
    from cvatd.stack.render import render
    from cvatd.stack.runner import Runner
    from cvatd.stack.status import gather
    from cvatd.stack.together import begin

    with Podman(settings.podman_url) as podman:
        runner, stack = begin(Runner, podman, settings), render(settings)

        def parent() -> "Parent":
            nonlocal runner
            if runner.done() and runner.exception() is not None:  # Podman may have come back
                runner = begin(Runner, podman, settings)
            return runner.result().parent

        yield lambda: gather(podman, settings, parent, stack)


def _gather_once(settings: "StackSettings") -> "Status":
    with _own(settings) as ask:
        return ask()


def _show(seen: "Status", json_: bool, rate: "Rate | None" = None) -> None:
    from cvatd.cli import output, status_words
    from cvatd.core.plain import plain_line

    if json_:
        typer.echo(seen.model_dump_json(indent=2))
        return
    typer.echo(plain_line(status_words.headline(seen)))
    for reason in seen.reasons[1:]:
        typer.echo(f"  {plain_line(reason)}")
    typer.echo()
    output.table(*status_words.containers(seen), "")
    typer.echo()
    for name, words in status_words.facts(seen, rate):
        typer.echo(f"{name:<{status_words.NAME_WIDTH}}{plain_line(words)}")
    typer.echo()
    output.table(*status_words.queues(seen), "")
    for warning in status_words.warnings(seen):
        typer.echo(f"warning: {plain_line(warning)}")


def _watch(ask: Ask, json_: bool) -> None:
    """Until Ctrl-C. In a pipe each look follows the last; JSON is one line a look."""
    from cvatd.cli import interrupts

    try:
        with interrupts.interruptible():
            if json_ or not sys.stdout.isatty():
                _repeat(ask, json_)
            _redraw(ask)
    except KeyboardInterrupt as told:
        raise typer.Exit(interrupts.status(told)) from None


def _repeat(ask: Ask, json_: bool) -> None:
    import time

    from cvatd.cli import status_words

    before = None
    while True:
        seen = ask()
        if json_:
            print(seen.model_dump_json(), flush=True)
        else:
            _show(seen, False, status_words.rate(before, seen))
            print(flush=True)
        before = seen
        time.sleep(REDRAW_S)


def _redraw(ask: Ask) -> None:
    import time

    from rich.live import Live

    from cvatd.cli import status_words
    from cvatd.core.errors import CvatdError

    before = None
    with Live(auto_refresh=False, screen=True) as live:
        while True:
            began = time.monotonic()
            drawn: Any
            try:
                seen = ask()
                drawn = status_words.drawn(seen, status_words.rate(before, seen))
                before = seen
            except CvatdError as error:  # Podman may come back
                drawn = error.message
            live.update(drawn, refresh=True)
            time.sleep(max(0.1, REDRAW_S - (time.monotonic() - began)))
