"""The SQL that lies in .sql files. Imports no driver: `status` reads SQL for another program to run."""

import functools
from importlib.resources import files


@functools.cache
def queries(package: str, file: str) -> dict[str, str]:
    """The statements of a .sql file by name; a line `-- name: claim` begins each."""
    named: dict[str, list[str]] = {}
    current: list[str] = []
    for line in (files(package) / file).read_text().splitlines():
        if line.startswith("-- name: "):
            current = named.setdefault(line.removeprefix("-- name: ").strip(), [])
        else:
            current.append(line)
    return {name: "\n".join(lines).strip() for name, lines in named.items()}
