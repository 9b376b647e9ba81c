"""Real PostgreSQL and Redis for the tests, started by the project's own code."""

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from cvatd.core import database, migrate
from cvatd.core.database import Pool
from cvatd.core.embedded import stores
from cvatd.core.embedded.supervisor import Supervisor

# Laws are about what comes out: on a busy machine an example may take its time.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

ROOT = Path(__file__).resolve().parents[1]
TRAINERS = {name: ROOT / name / "bin" / "python" for name in (".venv-trainer", ".venv-trainer-8.3.217")}


@pytest.fixture(scope="session")
def servers() -> Iterator[stores.Stores]:
    """A PostgreSQL and a Redis for the whole session, in a folder of short path."""
    with tempfile.TemporaryDirectory(prefix="cvatd-") as folder:
        Path(folder).chmod(0o711)  # as root the servers run as another user
        with Supervisor(Path(folder) / "data", lambda words: None, handle_signals=False) as supervisor:
            stored = stores.prepare(Path(folder) / "data")
            for service in stored.services:
                supervisor.start(service)
            yield stored


@pytest.fixture
def empty_database_url(servers: stores.Stores) -> Iterator[str]:
    """A fresh database without a schema."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield servers.database_url.replace("/cvatd?", f"/{name}?")
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """A fresh database with our schema."""
    with database.connect(empty_database_url) as connection:
        migrate.migrate(connection)
    return empty_database_url


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    with database.open_pool(database_url, 4) as opened:
        yield opened


@pytest.fixture
def redis_url(servers: stores.Stores) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
    return servers.redis_url


@pytest.fixture(scope="session")
def trainer_python() -> Path:
    """The newest trainer's Python."""
    python = TRAINERS[".venv-trainer"]
    if not python.exists():
        pytest.skip("no .venv-trainer: `make test` installs it")
    return python


class Groups(LoadScopeScheduling):
    """Two: what has containers, whose names are fixed, and the rest. Each runs in its own order."""

    def _split_scope(self, nodeid: str) -> str:
        return "containers" if nodeid.startswith(("tests/e2e/cvat/", "tests/e2e/nix/")) else "rest"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """For `--dist loadgroup`, which asks a mark of each test."""
    return Groups(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The fast ones first."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is not None)
