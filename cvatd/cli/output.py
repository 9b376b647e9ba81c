"""What the terminal shows: JSON for programs, tables and progress for people."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import typer

from cvatd.core import words
from cvatd.core.plain import plain_line

IMAGE_CHARACTERS = 42


def emit(value: dict[str, Any], as_json: bool, text: str = "") -> None:
    typer.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False) if as_json else text)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Columns that fit 100 characters; where nobody looks (a pipe) the same columns parted by tabs."""
    import sys

    if not rows:
        typer.echo(empty)
        return
    if not sys.stdout.isatty():
        for row in (heads, *rows):
            typer.echo("\t".join(plain_line(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table

    drawn = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        drawn.add_row(*(_escape(cell) for cell in row))
    Console().print(drawn)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(plain_line(text))


def ago(moment: datetime | str | None) -> str:
    """`5 min ago`; an empty string for never."""
    if moment is None:
        return ""
    return words.ago(datetime.fromisoformat(moment) if isinstance(moment, str) else moment)


def short_image(image: str) -> str:
    """Without the registry that most come from; its end matters most, so its beginning is left out."""
    image = image.removeprefix("docker.io/").removeprefix("library/")
    return image if len(image) <= IMAGE_CHARACTERS else f"…{image[1 - IMAGE_CHARACTERS :]}"
