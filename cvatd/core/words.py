"""Times and sizes as people say them, on pages and on the terminal alike. Pure."""

from datetime import UTC, datetime

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
GB = 1 << 30


def duration(seconds: float | None) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`; a dash where nothing is known."""
    if seconds is None:
        return "–"
    whole = max(0, int(seconds))
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """`just now`, `5 min ago`: one unit is enough, the exact time is shown elsewhere."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < 5:
        return "just now"
    return " ".join(duration(seconds).split()[:2]) + " ago"


def size(count: int) -> str:
    """Bytes: `512 kB`, `1.4 GB`; powers of ten, as disks are sold and `df -H` counts."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if unit in {"bytes", "kB"} or amount >= 9.95 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.0f} TB" if amount >= 9.95 else f"{amount:.1f} TB"


def memory(count: int) -> str:
    """Bytes of memory: `350 MB`, `1.8 GB`; powers of two, as limits of memory are set."""
    return f"{count >> 20} MB" if count < GB else f"{count / GB:.1f} GB"
