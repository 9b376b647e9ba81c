"""What went wrong, in words: Ultralytics' and torch's exceptions told apart. Pure."""

import errno
import re

ANSI = re.compile(r"\x1b\[[0-9;]*m")
LONGEST = 1500


def explain(error: BaseException) -> tuple[str, str]:
    """A stable code and a sentence for a person."""
    text = ANSI.sub("", str(error)).strip()[:LONGEST]
    lower = text.lower()
    if isinstance(error, MemoryError) or "out of memory" in lower or "can't allocate memory" in lower:
        where = "The GPU" if "cuda" in lower else "This host"
        return "out_of_memory", f"{where} is out of memory. Resume with a smaller batch_size or img_size. ({text})"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "disk_full", f"The disk is full: {text}. Free some space, then resume."
    if "nan persisted" in lower:
        return "nan_loss", f"The loss became NaN again and again: lower the learning_rate. ({text})"
    if isinstance(error, SyntaxError) or (isinstance(error, TypeError | ValueError) and "argument" in lower):
        return "bad_argument", f"Ultralytics refuses an argument: {text}"
    if "dataset" in lower or "no labels found" in lower or "no valid images" in lower or "image not found" in lower:
        return "dataset", f"Ultralytics cannot use the data set: {text}"
    if "not a loadable checkpoint" in lower or "download failure" in lower or "unpickling" in lower:
        return "weights", f"The weights cannot be loaded: {text}"
    return "trainer_error", f"The training failed: {type(error).__name__}: {text}"
