"""Bring the schema up to date: numbered .sql files, each applied once, whole, and never changed afterwards."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from cvatd.core.database import Connection
from cvatd.core.errors import CvatdError

LOCK_KEY = 0x63766174  # "cvat": one migration at a time on one database


@dataclass(frozen=True)
class Migration:
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def known() -> list[Migration]:
    """The migrations that this version ships, in order."""
    folder = files("cvatd.core") / "migrations"
    found = [Migration(f.name, f.read_text()) for f in folder.iterdir() if f.name.endswith(".sql")]
    return sorted(found, key=lambda migration: migration.name)


def pending(ours: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """What is still to be applied. Raises CvatdError where the database and this version do not belong together."""
    by_name = {migration.name: migration for migration in ours}
    for name, checksum in applied.items():
        if name not in by_name:
            raise CvatdError(
                "schema_newer",
                f"The database has migration {name}, which this version does not know: it was used by a newer "
                "cvatd. Run that version, or restore a backup made before the upgrade.",
            )
        if by_name[name].checksum != checksum:
            raise CvatdError(
                "schema_changed",
                f"Migration {name} was applied with other text than this version ships. A migration is never "
                "edited once released: install the release unchanged.",
            )
    return [migration for migration in ours if migration.name not in applied]


def migrate(connection: Connection) -> list[str]:
    """Apply what is pending and return the names; a second caller waits for the first and finds nothing to do.

    The connection must be in autocommit. Each migration is one transaction together with its record.
    """
    connection.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations ("
            "name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        todo = pending(known(), _applied(connection))
        for migration in todo:
            with connection.transaction():
                connection.execute(migration.sql)
                connection.execute(
                    "INSERT INTO schema_migrations (name, checksum) VALUES (%s, %s)",
                    (migration.name, migration.checksum),
                )
        return [migration.name for migration in todo]
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK_KEY,))


def require_current(connection: Connection) -> None:
    """Refuse to start on a schema that is not this version's."""
    row = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL AS there").fetchone()
    applied = _applied(connection) if row and row["there"] else {}
    todo = pending(known(), applied)
    if todo:
        names = ", ".join(migration.name for migration in todo)
        raise CvatdError("schema_old", f"The database lacks {names}. Run `cvatd migrate`, then start again.")


def _applied(connection: Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, checksum FROM schema_migrations ORDER BY name").fetchall()
    return {row["name"]: row["checksum"] for row in rows}
