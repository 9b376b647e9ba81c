"""Whether the password in the file is in force."""

import pytest

from cvatd.stack.facts import DatabaseFacts
from cvatd.stack.superuser import password_state

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
