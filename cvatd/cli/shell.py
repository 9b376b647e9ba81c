"""`cvatd shell`: the program that speaks with a part of CVAT, inside of its container."""

import typer


def shell(name: str = typer.Argument(help="db, redis, kvrocks or server.", metavar="db|redis|kvrocks|server")) -> None:
    """Open psql, redis-cli or bash where CVAT runs; takes a script from a pipe as well."""
    import os
    import sys

    from cvatd.core.settings import load_settings
    from cvatd.stack import command_line
    from cvatd.stack.podman import Podman

    settings = load_settings().stack
    tty = sys.stdin.isatty() and sys.stdout.isatty()
    with Podman(settings.podman_url) as podman:
        argv = command_line.shell_command(podman, settings, name, tty)
    # In our place: signals, the terminal's size and the exit status are its own then.
    os.execv(argv[0], argv)  # noqa: S606
