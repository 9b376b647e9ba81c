"""`cvatd logs`: what the containers write, together and in order."""

import os
import sys
from typing import TYPE_CHECKING

import typer

from cvatd.core.plain import plain_line

if TYPE_CHECKING:
    from cvatd.stack.container_logs import Line

# Of a terminal's sixteen, those that can be read on dark and on light.
COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)


def logs(
    names: list[str] = typer.Argument(None, help="Containers, such as cvat-server or server; all when none is named."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Stay and show what comes, until Ctrl-C."),
    tail: int = typer.Option(100, "--tail", "-n", min=0, max=100_000, help="Lines of each that are there already."),
    json_: bool = typer.Option(False, "--json", help="JSON lines instead of words."),
) -> None:
    """Show what the containers write."""
    from cvatd.cli.stack import full_name
    from cvatd.core.errors import CvatdError
    from cvatd.core.settings import load_settings
    from cvatd.stack import container_logs, render, starting
    from cvatd.stack.podman import Podman
    from cvatd.stack.spec import INIT_CONTAINER

    settings = load_settings().stack
    known = [*render.render(settings).names, INIT_CONTAINER]
    chosen = list(dict.fromkeys(full_name(name, known) for name in names or []))

    with Podman(settings.podman_url) as podman:

        def present() -> list[str]:
            found = podman.containers()
            return [name for name in chosen or known if name in found]

        writer = Writer(chosen or known, prefixed=len(chosen) != 1, as_json=json_)
        if not follow:
            there = present()
            if chosen and not there:
                start = starting.those(settings, chosen)
                raise CvatdError("not_running", f"{', '.join(chosen)}: not there. `{start}` makes it.")
            for line in container_logs.last(podman, there, tail):
                writer.write(line)
            return
        for new in container_logs.follow(podman, present, tail):
            if new is None:
                sys.stdout.flush()
            else:
                writer.write(new)


class Writer:
    """Lines with the name before them, each name in its colour on a terminal."""

    def __init__(self, names: list[str], prefixed: bool, as_json: bool, colour: bool | None = None) -> None:
        self._width = max((len(name) for name in names), default=0)
        self._names = names
        self._prefixed = prefixed
        self._as_json = as_json
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ if colour is None else colour

    def write(self, line: "Line") -> None:
        sys.stdout.write(f"{self.shown(line)}\n")

    def shown(self, line: "Line") -> str:
        if self._as_json:
            import json

            # ASCII alone: what is dangerous to a terminal is escaped, and programs get all of it.
            return json.dumps({"container": line.container, "time_ns": line.time_ns, "text": line.text})
        text = plain_line(line.text)
        if not self._prefixed:
            return text
        name = f"{line.container:<{self._width}} |"
        if self._colour:
            number = self._names.index(line.container) if line.container in self._names else 0
            name = f"\x1b[{COLOURS[number % len(COLOURS)]}m{name}\x1b[0m"
        return f"{name} {text}"
