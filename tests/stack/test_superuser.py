"""Whether the password in the file is in force."""

from typing import Literal

import pytest

from cvatd.stack.facts import DatabaseFacts
from cvatd.stack.superuser import PasswordState, compared, password_state, takes

# As Django 5.2 stores "pencil ä".
STORED = "pbkdf2_sha256$1000$saltsalt$35pHtWiKGjXN+esEX+NCNZw0n831Fb51iKa+lFImt0Q="
MADE = {"username": "admin", "mark": "1"}


@pytest.mark.parametrize(
    ("initial", "database", "state"),
    [
        ({}, DatabaseFacts(), "not_made"),
        (MADE, DatabaseFacts(fault="away", words="cvat-db does not run"), "unknown"),
        (MADE, DatabaseFacts(migrations=None), "unknown"),
        (MADE, DatabaseFacts(migrations=frozenset(), superusers={"other": "1"}), "gone"),
        (MADE, DatabaseFacts(migrations=frozenset(), superusers={"admin": "2"}), "changed"),
        (MADE, DatabaseFacts(migrations=frozenset(), superusers={"admin": "1"}), "in_force"),
    ],
)
def test_state(initial: dict[str, str], database: DatabaseFacts, state: str) -> None:
    found = password_state(initial, database)
    assert found.state == state
    assert bool(found.words) == (state != "in_force")


@pytest.mark.parametrize(
    ("stored", "password", "same"),
    [
        (STORED, "pencil ä", True),
        (STORED, "pencil", False),
        (STORED + "x", "pencil ä", False),
        (STORED.replace("saltsalt", "salt"), "pencil ä", False),
        (STORED.replace("sha256", "sha1"), "pencil ä", None),
        (STORED.replace("1000", str(1 << 60)), "pencil ä", None),
        (STORED.replace("1000", "0"), "pencil ä", None),
        ("argon2$argon2id$v=19$m=102400,t=2,p=8$x$y", "pencil ä", None),
        ("!unusable", "pencil ä", None),
        ("", "pencil ä", None),
        ("pbkdf2_sha256$1000$salt$ä", "pencil ä", False),
    ],
)
def test_takes(stored: str, password: str, same: bool | None) -> None:
    assert takes(stored, password) is same


@pytest.mark.parametrize(
    ("seen", "stored", "state"),
    [
        ("changed", STORED, "in_force"),
        ("changed", STORED + "x", "changed"),
        ("changed", "bcrypt$x", "unknown"),
        ("changed", None, "unknown"),
        ("in_force", None, "in_force"),
        ("gone", None, "gone"),
    ],
)
def test_a_password_that_was_stored_anew_is_told_from_one_that_was_changed(
    seen: Literal["changed", "in_force", "gone"], stored: str | None, state: str
) -> None:
    found = compared(PasswordState(seen, "" if seen == "in_force" else "why"), "pencil ä", stored)
    assert found.state == state
    assert bool(found.words) == (state != "in_force")
