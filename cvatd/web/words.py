"""How pages speak: times, sizes, states. Pure."""

from datetime import UTC, datetime

from cvatd.core.words import ago, duration

__all__ = ["MEANINGS", "STAGES", "STATES", "ago", "amount", "duration", "exact", "percent", "size"]

# State -> (word, tone, shape). A shape stands beside the word, so that colour never speaks alone.
STATES = {
    "queued": ("queued", "muted", "○"),
    "preparing": ("preparing", "info", "◔"),
    "training": ("training", "accent", "◑"),
    "finishing": ("finishing", "accent", "◕"),
    "interrupted": ("interrupted", "warn", "◇"),
    "cancelling": ("cancelling", "warn", "◌"),
    "completed": ("completed", "good", "●"),
    "failed": ("failed", "bad", "▲"),
    "cancelled": ("cancelled", "muted", "■"),
}
MEANINGS = {
    "queued": "Waits for a worker.",
    "interrupted": "Its worker went away. It goes on by itself when one is free.",
    "cancelling": "The trainer ends its batch, then stops.",
    "finishing": "Last validation and plots.",
}
STAGES = {
    "download": "Fetching the data set",
    "unpack": "Unpacking the data set",
    "check": "Checking images and labels",
    "link": "Linking the data set",
    "training": "Training",
}


def exact(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def size(count: float) -> str:
    """Bytes as `820 B`, `12 kB`, `6.2 MB`, `1.4 GB`."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            share = count / step
            return f"{share:.1f} {unit}" if share < 100 and unit != "kB" else f"{share:.0f} {unit}"
    return f"{count:.0f} B"


def percent(share: float | None) -> str:
    """`93.4 %`; a dash where nothing is known."""
    return "–" if share is None else f"{100 * share:.1f} %"


def amount(done: float, total: float | None, unit: str) -> str:
    """`12 MB of 80 MB`, `64 of 80 files`."""
    if unit == "bytes":
        return f"{size(done)} of {size(total)}" if total else size(done)
    return f"{done:.0f} of {total:.0f} {unit}" if total else f"{done:.0f} {unit}"
