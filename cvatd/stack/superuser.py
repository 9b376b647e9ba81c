"""Is the password in the superuser's file the one that CVAT takes? Pure."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from cvatd.stack.facts import DatabaseFacts

MOST_ITERATIONS = 20_000_000
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


def compared(seen: PasswordState, password: str, stored: str | None) -> PasswordState:
    """What "changed" really means: Django stores a password anew, otherwise, when its owner signs in after an upgrade.

    `stored` is what it stores now, None where that cannot be had.
    """
    same = takes(stored, password) if seen.state == "changed" and stored else None
    if seen.state != "changed" or same is False:
        return seen
    if same:
        return PasswordState("in_force")
    return PasswordState(
        "unknown",
        "It may have been changed in CVAT since: it is stored otherwise than it was. `cvatd secrets rotate superuser` "
        "sets a new one.",
    )


def takes(stored: str, password: str) -> bool | None:
    """Whether this is the password of what Django stores; None for a form that is not known here."""
    scheme, *parts = stored.split("$")
    if scheme != "pbkdf2_sha256" or len(parts) != 3 or not parts[0].isdecimal():
        return None
    iterations, salt, hashed = int(parts[0]), parts[1], parts[2]
    if not 0 < iterations <= MOST_ITERATIONS:
        return None
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), iterations)
    return hmac.compare_digest(base64.b64encode(derived), hashed.encode())
