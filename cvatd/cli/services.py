"""The processes: `web`, `worker`, the `migrate` step before them, and `dev`, which is all of them at once."""

import sys
from pathlib import Path

import typer


def web() -> None:
    """Serve the HTTP API and the pages; also rings, reconciles and sends callbacks."""
    _leave_out_rich()
    from cvatd.core.settings import load_settings
    from cvatd.web.app import serve

    serve(load_settings())


def worker() -> None:
    """Take runs from the queue and see each to its end."""
    _leave_out_rich()
    from cvatd.core import log
    from cvatd.core.settings import load_settings
    from cvatd.training.worker import run_worker

    settings = load_settings()
    log.configure(settings.log_level)
    run_worker(settings)


def _leave_out_rich() -> None:
    """structlog and httpx import rich wherever it is installed: 5 MB of a service that draws nothing on a terminal."""
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]


def migrate(json_: bool = typer.Option(False, "--json")) -> None:
    """Bring the database's schema up to date."""
    from cvatd.cli import output
    from cvatd.core import database
    from cvatd.core import migrate as migrations
    from cvatd.core.settings import load_settings

    with database.connect(load_settings().database_url) as connection:
        applied = migrations.migrate(connection)
    output.emit({"applied": applied}, json_, f"Applied {', '.join(applied)}." if applied else "Nothing to do.")


def dev(
    data_dir: Path = typer.Option(Path(".cvatd"), help="Where everything is kept."),
    port: int = typer.Option(None, help="Of the web face; 5000, or PORT, when not given."),
    trainer_python: Path = typer.Option(
        None, help="The Python with torch and Ultralytics; .venv-trainer beside this one when not given."
    ),
) -> None:
    """Run everything on this machine in the foreground: PostgreSQL, Redis, web, worker. Ctrl-C ends all of it."""
    from cvatd.cli.dev import run

    run(data_dir, port, trainer_python)
