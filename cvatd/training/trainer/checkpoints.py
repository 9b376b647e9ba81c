"""Checkpoints that survive a kill at any byte.

Ultralytics writes last.pt and best.pt in place: a kill or a full disk then leaves neither the old nor the new one. Each
epoch's file is copied (a link would be truncated with it), synced and renamed; the newest two are kept.
"""

import os
import shutil
import zipfile
from pathlib import Path

KEPT = 2
BEST = "best.pt"


def keep(source: Path, folder: Path, name: str) -> None:
    """Copy `source` into `folder` as `name`, whole or not at all."""
    folder.mkdir(exist_ok=True)
    temporary = folder / f".{name}.part"
    try:
        with source.open("rb") as read, temporary.open("wb") as write:
            shutil.copyfileobj(read, write, 1 << 20)
            write.flush()
            os.fsync(write.fileno())
        temporary.rename(folder / name)
    finally:
        temporary.unlink(missing_ok=True)  # on a full disk the rest of it is what the last event needs


def keep_epoch(weights: Path, folder: Path, epoch: int) -> None:
    """Keep this epoch's last.pt, and best.pt if it is this epoch's; drop what is older than the newest two."""
    best = weights / "best.pt"
    if best.exists() and best.stat().st_mtime_ns != _mtime_of_kept(folder):
        keep(best, folder, BEST)
        os.utime(folder / BEST, ns=(best.stat().st_atime_ns, best.stat().st_mtime_ns))
    keep(weights / "last.pt", folder, f"epoch-{epoch:05d}.pt")
    for old in kept(folder)[KEPT:]:
        old.unlink()


def kept(folder: Path) -> list[Path]:
    """The newest first."""
    return sorted(folder.glob("epoch-*.pt"), reverse=True)


def epoch_of(file: Path) -> int:
    """The epoch after which it was written, counted from 1."""
    return int(file.stem.removeprefix("epoch-"))


def newest_good(folder: Path, epochs: int) -> Path | None:
    """The newest whole checkpoint from which something is left to do.

    After the very last epoch Ultralytics refuses to resume: then the one before serves, and that epoch is done again.
    """
    return next((file for file in kept(folder) if epoch_of(file) < epochs and is_whole(file)), None)


def is_whole(file: Path) -> bool:
    """torch writes a zip: its directory stands at the end, and each member has a checksum."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError):
        return False


def drop_broken(weights: Path) -> None:
    """Remove what a full disk has cut; whole copies are kept elsewhere."""
    for file in weights.glob("*.pt"):
        if not is_whole(file):
            file.unlink()


def restore(checkpoint: Path, weights: Path) -> Path:
    """Put a checkpoint, and the best one of its time, where Ultralytics looks; the path of its last.pt."""
    weights.mkdir(parents=True, exist_ok=True)
    best = checkpoint.parent / BEST
    if best.exists():
        keep(best, weights, "best.pt")
    keep(checkpoint, weights, "last.pt")
    return weights / "last.pt"


def _mtime_of_kept(folder: Path) -> int | None:
    try:
        return (folder / BEST).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def trim_csv(file: Path, epoch: int) -> None:
    """Drop the rows behind `epoch`: those epochs are done again, and results.png would draw them twice."""
    try:
        head, *rows = file.read_text().splitlines()
    except (FileNotFoundError, ValueError):
        return
    kept_rows = [row for row in rows if row.split(",")[0].strip().isdecimal() and int(row.split(",")[0]) <= epoch]
    temporary = file.with_name(f".{file.name}.part")
    temporary.write_text("\n".join([head, *kept_rows]) + "\n")
    temporary.rename(file)
