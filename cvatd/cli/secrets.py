"""`cvatd password` and `cvatd secrets`: what was made by chance and stands in files that root alone may read."""

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from cvatd.core.settings import StackSettings

app = typer.Typer(help="Passwords and keys of CVAT.", no_args_is_help=True, rich_markup_mode=None)

DONE = {
    "database": "The database has a new password, and all that uses it was made anew with it.",
    "django": "CVAT has a new key: all sessions of people have ended, they sign in again.",
    "superuser": "The superuser has a new password: `cvatd password` prints it.",
}
# Where systemd runs the containers.
CHANGED = {
    "database": "The database has a new password; what uses it has the old one until it is restarted.",
    "django": "CVAT has a new key, and uses it once it is restarted.",
}


def password(json_: bool = typer.Option(False, "--json", help="JSON instead of words.")) -> None:
    """Print the password of CVAT's superuser."""
    from cvatd.cli import output
    from cvatd.core.settings import load_settings
    from cvatd.stack import secret_files, versions

    settings = load_settings().stack
    secret = secret_files.read(settings, secret_files.SUPERUSER)
    state, words = _state(settings, secret)
    if secret_files.is_changing(settings, secret_files.SUPERUSER):
        words = "A change of it was begun and not finished: `cvatd secrets rotate superuser` finishes it."
    user = versions.initial_superuser(settings).get("username", settings.superuser.username)
    output.emit({"username": user, "password": secret, "state": state, "words": words}, json_, secret)
    if not json_ and words:
        typer.echo(f"note: {words}", err=True)


@app.command()
def rotate(
    what: str = typer.Argument(help="database, django or superuser.", metavar="database|django|superuser"),
    json_: bool = typer.Option(False, "--json", help="JSON instead of words."),
) -> None:
    """Change a secret for a new one and make anew what uses it. Interrupted, the same command finishes it."""
    from cvatd.cli import output
    from cvatd.cli.board import Board, watch
    from cvatd.cli.stack import open_runner
    from cvatd.core.errors import CvatdError
    from cvatd.stack import rotate

    works = {"database": rotate.database, "django": rotate.django, "superuser": rotate.superuser}
    if what not in works:
        raise CvatdError("usage", f"There is no secret {what!r} to change. There are: {', '.join(works)}.")
    left = f"Interrupted. `cvatd secrets rotate {what}` finishes it."
    with open_runner() as runner:
        shown = sys.stderr if json_ else sys.stdout
        units = watch(Board([]), lambda tell: works[what](runner, tell), lambda _: left, shown)
    words = f"{CHANGED[what]} Now: systemctl restart {' '.join(units)}" if units else DONE[what]
    output.emit({"rotated": what, "restart": units}, json_, words)


def _state(settings: "StackSettings", password: str) -> tuple[str, str]:
    from cvatd.core.errors import CvatdError
    from cvatd.stack import facts, superuser, versions
    from cvatd.stack.podman import Podman

    made, stored = versions.initial_superuser(settings), None
    try:
        with Podman(settings.podman_url) as podman:
            database = facts.database_facts(podman, settings, podman.containers())
            found = superuser.password_state(made, database)
            if found.state == "changed":
                stored = facts.superuser_hashes(podman, settings).get(made["username"])
    except CvatdError as error:
        found = superuser.password_state(made, facts.DatabaseFacts(fault="away", words=error.message))
    found = superuser.compared(found, password, stored)
    return found.state, found.words
