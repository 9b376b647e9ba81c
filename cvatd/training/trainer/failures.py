"""What went wrong, in words: Ultralytics' and torch's exceptions told apart. Pure."""

import errno
import re

ANSI = re.compile(r"\x1b\[[0-9;]*m")
LONGEST = 1500
# The last two: a loader's process that the kernel killed, and one without room in /dev/shm.
NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "is killed by signal", "shared memory")


class WeightsUnusable(Exception):
    """What reading a .pt file raises has many types and words, so the place tells it."""


def explain(error: BaseException) -> tuple[str, str]:
    """A stable code and a sentence for a person."""
    text = ANSI.sub("", str(error)).strip()[:LONGEST]
    lower = text.lower()
    if isinstance(error, WeightsUnusable):
        return "weights", f"The weights cannot be loaded: {text}"
    if isinstance(error, MemoryError) or any(sign in lower for sign in NO_MEMORY):
        where = "The GPU" if "cuda" in lower else "This host"
        return "out_of_memory", f"{where} is out of memory. Resume with a smaller batch_size or img_size. ({text})"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "disk_full", f"The disk is full: {text}. Free some space, then resume."
    if "nan persisted" in lower or "nan/inf" in lower:
        return "nan_loss", f"The loss became NaN again and again: lower the learning_rate. ({text})"
    # An unknown name is a SyntaxError, an optimizer that this version lacks a NotImplementedError.
    about_argument = "argument" in lower or "invalid" in lower
    if isinstance(error, SyntaxError | NotImplementedError) or (
        isinstance(error, TypeError | ValueError) and about_argument and "not a loadable" not in lower
    ):
        return "bad_argument", f"Ultralytics refuses an argument: {text}"
    if "dataset" in lower or "no labels found" in lower or "no valid images" in lower or "image not found" in lower:
        return "dataset", f"Ultralytics cannot use the data set: {text}"
    if "not a loadable checkpoint" in lower or "download failure" in lower:
        return "weights", f"The weights cannot be loaded: {text}"
    return "trainer_error", f"The training failed: {type(error).__name__}: {text}"
