"""The files that a run leaves: named, hashed, and written into the store; and what is cleared away afterwards."""

import hashlib
import mimetypes
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from cvatd.training.jobs import Artifact

# Folders of the run in which results lie, and the endings that count as such.
RESULTS = {"out": {".csv", ".yaml", ".png", ".jpg"}, "out/weights": {".pt"}, ".": {".log"}}


def collect(run_dir: Path) -> Iterator[Artifact]:
    """Every result file below the run's folder; links are passed over."""
    for folder, endings in RESULTS.items():
        for file in sorted((run_dir / folder).glob("*")):
            if file.suffix in endings and file.is_file() and not file.is_symlink():
                yield describe(file, run_dir)


def describe(file: Path, run_dir: Path) -> Artifact:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    content_type = {".log": "text/plain; charset=utf-8", ".yaml": "text/plain; charset=utf-8"}.get(file.suffix)
    return Artifact(
        name=file.name,
        path=str(file.relative_to(run_dir)),
        size=file.stat().st_size,
        sha256=digest,
        content_type=content_type or mimetypes.guess_type(file.name)[0] or "application/octet-stream",
    )


def clear(run_dir: Path, resumable: bool) -> None:
    """Give back the space of what is needed no more: the linked data set, and the checkpoints unless they may serve."""
    shutil.rmtree(run_dir / "data", ignore_errors=True)
    if not resumable:
        shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)


def tail_of_log(run_dir: Path, max_bytes: int) -> str:
    """The last whole lines of trainer.log; progress bars that redraw their line leave their last state."""
    try:
        with (run_dir / "trainer.log").open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - max_bytes))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    lines = [_plain(line.rstrip("\r").rsplit("\r", 1)[-1]) for line in text.split("\n")]
    return "\n".join(lines[1:] if size > max_bytes else lines)


def _plain(line: str) -> str:
    """Without the escape sequences that colour a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)
