"""`cvatd token`: who may call. Acts on the store itself, so that the first token can be made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from cvatd.core.database import Connection

app = typer.Typer(help="API tokens.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def create(
    name: str = typer.Argument(help="Who or what it is for."), json_: bool = typer.Option(False, "--json")
) -> None:
    """Make a token and print it: it is shown this once."""
    from cvatd.cli import output
    from cvatd.core import tokens

    with _store() as store:
        text = tokens.create(store, name)
    output.emit({"name": name, "token": text}, json_, text)


@app.command("list")
def list_(json_: bool = typer.Option(False, "--json")) -> None:
    """Show the tokens, without their secrets."""
    from cvatd.cli import output
    from cvatd.core import tokens

    with _store() as store:
        found = tokens.list_tokens(store)
    if json_:
        output.emit({"tokens": [vars(token) for token in found]}, json_)
        return
    rows = [
        [t.id, t.name, output.ago(t.created_at), output.ago(t.used_at), "revoked" if t.revoked_at else "valid"]
        for t in found
    ]
    output.table(
        ["id", "name", "made", "last used", "state"], rows, "No tokens yet. `cvatd token create NAME` makes one."
    )


@app.command()
def revoke(token_id: str = typer.Argument(help="The id that `list` shows.")) -> None:
    """Make a token, and the browser sessions opened with it, worthless from now on."""
    from cvatd.core import tokens

    with _store() as store:
        tokens.revoke(store, token_id)
    typer.echo(f"{token_id} is revoked.")


@contextmanager
def _store() -> "Iterator[Connection]":
    import psycopg

    from cvatd.core import database, migrate
    from cvatd.core.errors import CvatdError
    from cvatd.core.settings import load_settings

    settings = load_settings()
    try:
        with database.connect(settings.database_url) as connection:
            migrate.require_current(connection)
            yield connection
    except psycopg.OperationalError as error:
        words = f"PostgreSQL does not answer at {settings.database_url}: {str(error).strip()}. Is it running?"
        raise CvatdError("store_away", words) from None
