"""What a check is, and what it says. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvatd.stack.doctor.evidence import Evidence
    from cvatd.stack.runner import Runner


class Unknown(Exception):
    """What the check needs could not be seen; the words say why. Never taken for good."""


@dataclass(frozen=True)
class Finding:
    """Something wrong: one sentence, the numbers, paths and lines that show it, and what mends it.

    `urgent` is what keeps people from their work or endangers data; the rest is worth a look.
    """

    words: str
    command: str
    evidence: list[str] = field(default_factory=list)
    urgent: bool = True


@dataclass(frozen=True)
class Check:
    """`sees` and `mends` stand in docs/doctor.md. `fix` mends what is safe to mend, and may be run twice."""

    name: str
    sees: str
    mends: str
    judge: "Callable[[Evidence], Finding | None]"
    fix: "Callable[[Runner], None] | None" = None
