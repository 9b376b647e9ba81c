"""What the terminal shows: JSON for programs, tables and progress for people."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer


def emit(value: dict[str, Any], as_json: bool, words: str = "") -> None:
    typer.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False) if as_json else words)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Columns that fit 100 characters; where nobody looks (a pipe) the same columns parted by tabs."""
    import sys

    if not rows:
        typer.echo(empty)
        return
    if not sys.stdout.isatty():
        for row in (heads, *rows):
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    drawn = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        drawn.add_row(*(_escape(cell) for cell in row))
    Console().print(drawn)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def ago(moment: datetime | str | None) -> str:
    """ "5 min ago"; an empty string for never."""
    if moment is None:
        return ""
    then = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{duration((datetime.now(UTC) - then).total_seconds())} ago"


def duration(seconds: float) -> str:
    """ "3 min 20 s", "2 h 5 min", "4 d"."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d"
