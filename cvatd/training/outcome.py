"""How a trainer ended, told from its last word and its exit status. Pure."""

import signal
from dataclasses import dataclass
from typing import Any

from cvatd.training.tail import TrainerEvent


@dataclass(frozen=True)
class Done:
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    code: str
    message: str


@dataclass(frozen=True)
class Stopped:
    """Ended because it was asked to; `cancelled`: by a person, else because the worker goes away."""

    cancelled: bool


@dataclass(frozen=True)
class TryAgain:
    """Ended by a cause outside the training: it goes on from its checkpoint, a few times at the most."""

    code: str
    message: str


Outcome = Done | Failed | Stopped | TryAgain


def judge_end(last: TrainerEvent | None, exit_code: int | None) -> Outcome:
    """`exit_code` is None where the process was not our child; below zero it is a signal's number."""
    if last is not None and last.type == "finished":
        return Done(dict(last.data.get("metrics", {})))
    if last is not None and last.type == "failed":
        code = str(last.data.get("code", "trainer_error"))
        return Failed(code, str(last.data.get("message", "The trainer failed without a word.")))
    if last is not None and last.type == "stopped":
        return TryAgain("stopped", "The trainer was stopped by somebody else than its worker.")
    if exit_code == -signal.SIGKILL:
        return TryAgain(
            "killed",
            "The trainer was killed (signal 9), most often because the host ran out of memory. "
            "Resume with a smaller batch_size or img_size.",
        )
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else str(-exit_code)
        return TryAgain("killed", f"The trainer was ended by signal {name}. Its log has its last lines.")
    if exit_code is None:
        return TryAgain("killed", "The trainer went away without a word while its worker was gone.")
    return Failed("trainer_error", f"The trainer ended with status {exit_code}. Its log has its last lines.")
