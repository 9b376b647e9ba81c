"""Migrations: once each, whole, unchanged; two at once do no harm."""

import threading

import pytest

from cvatd.core import database, migrate
from cvatd.core.errors import CvatdError
from cvatd.core.migrate import Migration, known, pending


def test_applies_all_once(empty_database_url: str) -> None:
    with database.connect(empty_database_url) as connection:
        with pytest.raises(CvatdError, match="cvatd migrate"):
            migrate.require_current(connection)
        assert migrate.migrate(connection) == [m.name for m in known()]
        assert migrate.migrate(connection) == []
        migrate.require_current(connection)


def test_two_at_once_apply_each_migration_once(empty_database_url: str) -> None:
    applied: list[list[str]] = []

    def run() -> None:
        with database.connect(empty_database_url) as connection:
            applied.append(migrate.migrate(connection))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied, key=len) == [[], [], [], [m.name for m in known()]]


def test_a_migration_that_fails_leaves_nothing(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [*known(), Migration("9999_broken.sql", "CREATE TABLE half (); SELECT 1 / 0")]
    monkeypatch.setattr(migrate, "known", lambda: broken)
    with database.connect(empty_database_url) as connection:
        with pytest.raises(Exception, match="division by zero"):
            migrate.migrate(connection)
        row = connection.execute("SELECT to_regclass('half') AS half, to_regclass('jobs') AS jobs").fetchone()
        assert row is not None
        assert row["half"] is None
        assert row["jobs"] is not None
    monkeypatch.undo()
    with database.connect(empty_database_url) as connection:
        assert migrate.migrate(connection) == []


def test_an_edited_migration_is_refused() -> None:
    with pytest.raises(CvatdError, match="never edited"):
        pending([Migration("1.sql", "new")], {"1.sql": Migration("1.sql", "old").checksum})


def test_a_newer_database_is_refused() -> None:
    with pytest.raises(CvatdError, match="newer"):
        pending([], {"2.sql": "x"})
