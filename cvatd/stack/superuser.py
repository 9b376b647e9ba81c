"""Is the password in the superuser's file the one that CVAT takes? Pure."""

from dataclasses import dataclass
from typing import Literal

from cvatd.stack.facts import DatabaseFacts

State = Literal["in_force", "changed", "gone", "not_made", "unknown"]


@dataclass(frozen=True)
class PasswordState:
    state: State
    words: str = ""


def password_state(initial: dict[str, str], database: DatabaseFacts) -> PasswordState:
    """`initial` is what was recorded when the superuser was made (see `versions`)."""
    if not initial:
        return PasswordState("not_made", "CVAT has no superuser yet: `cvatd init` makes it with this password.")
    if database.fault or database.migrations is None:
        return PasswordState(
            "unknown", f"Whether it is still in force cannot be seen: {database.words or 'no tables'}."
        )
    user = initial["username"]
    mark = database.superusers.get(user)
    if mark is None:
        return PasswordState("gone", f"CVAT has no superuser {user!r} any more; `cvatd init` makes one anew.")
    if mark != initial["mark"]:
        return PasswordState(
            "changed",
            "It was changed in CVAT since: this one is not in force any more. "
            "`cvatd secrets rotate superuser` sets a new one.",
        )
    return PasswordState("in_force")
