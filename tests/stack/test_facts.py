"""What PostgreSQL, Redis and CVAT's HTTP face say of themselves: asked of real servers, and of answers gone wrong."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import redis
import rq

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import facts, secret_files
from cvatd.stack.facts import DatabaseFacts, Fault, Queue, RedisFacts, Worker
from cvatd.stack.podman import Found
from cvatd.stack.podman_gaps import ExecResult
from tests.serving import Handler, running

TIMEOUT_S = 30


def there(*names: str) -> dict[str, Found]:
    return {
        name: Found("1" * 64, name, "running", "x", "2" * 64, 7, 0, 1000.0, 0.0, "{}", True, None) for name in names
    }


@dataclass
class Inside:
    """In Podman's place: what runs inside of a container runs here, or is answered."""

    run: Callable[[list[str]], ExecResult]

    def execute(self, name: str, argv: list[str], timeout_s: float) -> ExecResult:
        assert name in {facts.REDIS, facts.DATABASE}
        assert timeout_s > 0
        return self.run(argv)


def said(out: str, err: str = "", status: int = 0) -> Any:
    return Inside(lambda argv: ExecResult(status, out, err))


def refusing(words: str) -> Any:
    def refuse(_: list[str]) -> ExecResult:
        raise CvatdError("exec", words)

    return Inside(refuse)


# ---- Redis ----


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as opened:
        yield opened


@pytest.fixture
def inside(redis_url: str) -> Any:
    """redis-cli as it runs in the container, against a real server."""
    if not shutil.which("redis-cli"):
        pytest.skip("no redis-cli on this machine")
    socket = redis_url.removeprefix("unix://").partition("?")[0]

    def run(argv: list[str]) -> ExecResult:
        command = [argv[0], "-s", socket, *argv[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        return ExecResult(done.returncode, done.stdout, done.stderr)

    return Inside(run)


def test_an_empty_redis_knows_of_nothing(inside: Any, client: redis.Redis) -> None:
    seen = facts.redis_facts(inside, there(facts.REDIS))
    assert (seen.queues, seen.workers, seen.mark, seen.fault) == ({}, [], "", "")
    assert seen.info["redis_version"] == client.info()["redis_version"]
    assert int(seen.info["used_memory"]) > 0


def test_queues_and_workers_are_those_that_rq_itself_made(inside: Any, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as connection:
        for name, count in (("import", 3), ("quality_reports", 1)):
            queue = rq.Queue(name, connection=connection)
            for _ in range(count):
                queue.enqueue("builtins.print", "x")
        failed = rq.registry.FailedJobRegistry(queue=rq.Queue("import", connection=connection))
        failed.add(rq.Queue("export", connection=connection).enqueue("builtins.print", "y"), ttl=-1, exc_string="")
        worker = rq.SimpleWorker([rq.Queue("import", connection=connection), queue], connection=connection)
        worker.hostname = "cvat-worker-default"
        worker.register_birth()
        worker.set_state("idle")
        seen = facts.redis_facts(inside, there(facts.REDIS))
        assert seen.queues == {
            "import": Queue(3, 0, 1),
            "export": Queue(1, 0, 0),
            "quality_reports": Queue(1, 0, 0),
        }
        assert [(w.hostname, w.queues, w.state) for w in seen.workers] == [
            ("cvat-worker-default", ["import", "quality_reports"], "idle")
        ]
        assert seen.workers[0].silent_s < TIMEOUT_S
        connection.delete(worker.key)  # forgotten, and still in the list of all
        assert facts.redis_facts(inside, there(facts.REDIS)).workers == []


def test_the_mark_of_init_is_set_and_read(inside: Any, client: redis.Redis) -> None:
    facts.set_mark(inside, "sha256:abc")
    assert facts.redis_facts(inside, there(facts.REDIS)).mark == "sha256:abc"
    client.flushall()
    assert facts.redis_facts(inside, there(facts.REDIS)).mark == ""


def test_a_key_of_another_kind_is_a_fault_and_no_crash(inside: Any, client: redis.Redis) -> None:
    client.set("rq:queues", "no set")
    seen = facts.redis_facts(inside, there(facts.REDIS))
    assert "WRONGTYPE" in seen.fault


def test_a_redis_that_takes_no_writes_is_said_in_its_words() -> None:
    full = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."
    with pytest.raises(CvatdError, match="cvat-redis does not take writes: MISCONF") as refused:
        facts.set_mark(said(full), "sha256:abc")
    assert refused.value.code == "redis"


@pytest.mark.parametrize(
    ("podman", "fault"),
    [
        (said("LOADING Redis is loading the dataset in memory\n"), "LOADING Redis is loading the dataset in memory"),
        (said("", "Could not connect to Redis at 127.0.0.1:6379: Connection refused\n", 1), "Could not connect"),
        (said("", ""), "Redis said nothing"),
        (said("x" * 10_000), "x" * 200),
        (said("(integer) 0"), "(integer) 0"),
        (said("7"), "7"),
        (refusing("redis-cli in cvat-redis did not end within 15 s."), "did not end within"),
    ],
)
def test_a_redis_that_cannot_be_asked_is_a_fault(podman: Any, fault: str) -> None:
    seen = facts.redis_facts(podman, there(facts.REDIS))
    assert seen == RedisFacts(fault=seen.fault)
    assert seen.fault.startswith(fault) or fault in seen.fault
    assert len(seen.fault) <= 200


def test_a_redis_that_does_not_run_is_not_asked() -> None:
    assert facts.redis_facts(refusing("not to be asked"), {}).fault == "cvat-redis does not run"


def answered(**changes: Any) -> Any:
    worker = {"hostname": "h", "queues": "a,b", "state": "idle", "last_heartbeat": ""}
    body = {"info": "", "queues": [], "workers": [worker | changes], "now": "1000000", "mark": ""}
    return said(json.dumps(body))


@pytest.mark.parametrize(
    ("beat", "silent_s"),
    [
        (datetime.fromtimestamp(999_990, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), 10.0),
        (datetime.fromtimestamp(999_990, UTC).isoformat(), 10.0),
        ((datetime(1970, 1, 1) + timedelta(seconds=999_990)).isoformat(), 10.0),  # noqa: DTZ001 as old releases of RQ write it
        (datetime.fromtimestamp(1_000_060, UTC).isoformat(), 0.0),
        ("", float("inf")),
        ("yesterday", float("inf")),
    ],
)
def test_how_long_a_worker_is_silent(beat: str, silent_s: float) -> None:
    seen = facts.redis_facts(answered(last_heartbeat=beat), there(facts.REDIS))
    assert seen.workers == [Worker("h", ["a", "b"], "idle", silent_s)]


@pytest.mark.parametrize(
    ("state", "started_at", "gone"),
    [("running", 999_980.0, False), ("running", 999_995.0, True), ("exited", 999_980.0, True)],
)
def test_a_worker_that_was_last_heard_of_before_its_container_runs_was_killed(
    state: str, started_at: float, gone: bool
) -> None:
    """Redis remembers it for minutes, and one that ends by itself signs off."""
    beat = datetime.fromtimestamp(999_990, UTC).isoformat()
    found = there(facts.REDIS, "w")
    found["w"] = replace(found["w"], state=state, started_at=started_at)
    worker = facts.redis_facts(answered(hostname="w", last_heartbeat=beat), found).workers[0]
    assert (worker.gone, worker.alive) == (gone, not gone)


def test_a_worker_without_queues_has_none() -> None:
    assert facts.redis_facts(answered(queues=""), there(facts.REDIS)).workers[0].queues == []


# ---- PostgreSQL ----

DJANGO = """
CREATE TABLE django_migrations (id serial, app text, name text);
CREATE TABLE auth_user (id serial, username text, password text, is_superuser boolean);
"""


@pytest.fixture
def database(empty_database_url: str, tmp_path: Path) -> StackSettings:
    """Settings of a stack whose database is a real one outside."""
    url = urlsplit(empty_database_url)
    (tmp_path / "cvat" / "secrets").mkdir(parents=True)
    secret_files.path(StackSettings(data_dir=tmp_path / "cvat"), secret_files.POSTGRES).write_text("any")
    outside = {
        "host": parse_qs(url.query)["host"][0],
        "name": url.path.removeprefix("/"),
        "user": url.username,
        "password_file": str(tmp_path / "password"),
    }
    return StackSettings.model_validate({"data_dir": str(tmp_path / "cvat"), "database": outside})


@pytest.fixture
def psql(empty_database_url: str) -> Any:
    """psql as it runs in the container, against a real server."""
    if not shutil.which("psql"):
        pytest.skip("no psql on this machine")

    def run(argv: list[str]) -> ExecResult:
        kept = [argv[0], argv[1], empty_database_url, *argv[argv.index("-c") :]]
        done = subprocess.run(kept, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        return ExecResult(done.returncode, done.stdout, done.stderr)

    return Inside(run)


def test_what_a_real_database_says_inside_and_outside_of_the_stack(
    database: StackSettings, psql: Any, empty_database_url: str
) -> None:
    inside = StackSettings()

    def both() -> DatabaseFacts:
        seen = facts.database_facts(psql, inside, there(facts.DATABASE))
        assert seen == facts.database_facts(refusing("not to be asked"), database, {})
        return seen

    empty = both()
    assert (empty.fault, empty.migrations, empty.superusers) == (None, None, {})
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        assert empty.version == connection.execute("SHOW server_version").fetchone()[0]  # type: ignore[index]
        connection.execute(DJANGO)
        assert both().migrations == frozenset()
        connection.execute("INSERT INTO django_migrations (app, name) VALUES ('auth', '0001'), ('engine', '0002')")
        connection.execute("INSERT INTO auth_user (username, password, is_superuser) VALUES ('admin', 'hash', true)")
        connection.execute("INSERT INTO auth_user (username, password, is_superuser) VALUES ('ann', 'hash', false)")
        seen = both()
    assert seen.migrations == {"auth.0001", "engine.0002"}
    assert seen.superusers == {"admin": hashlib.sha256(b"hash").hexdigest()}
    for settings, podman in ((inside, psql), (database, refusing("not to be asked"))):
        assert facts.superuser_hashes(podman, settings) == {"admin": "hash"}


def test_no_hash_comes_of_a_database_that_cannot_be_asked(database: StackSettings) -> None:
    assert facts.superuser_hashes(refusing("down"), StackSettings()) == {}
    assert facts.superuser_hashes(said("", "psql: error"), StackSettings()) == {}
    secret_files.path(database, secret_files.POSTGRES).unlink()
    assert facts.superuser_hashes(refusing("not to be asked"), database) == {}


def test_a_database_that_is_not_there_is_told_from_a_server_that_is_not(database: StackSettings) -> None:
    def changed(**outside: object) -> StackSettings:
        assert database.database is not None
        return database.model_copy(update={"database": database.database.model_copy(update=outside)})

    missing = facts.database_facts(refusing(""), changed(name="nowhere"), {})
    assert missing.fault == "no_database"
    assert "nowhere" in missing.words
    away = facts.database_facts(refusing(""), changed(host="/nowhere"), {})
    assert away.fault == "away"
    assert away.words


def test_without_its_password_a_database_is_away_and_no_crash(database: StackSettings) -> None:
    secret_files.path(database, secret_files.POSTGRES).unlink()
    assert facts.database_facts(refusing(""), database, {}).fault == "away"


@pytest.mark.parametrize(
    ("podman", "fault", "words"),
    [
        (said("", 'psql: error: FATAL:  database "cvat" does not exist\n', 2), "no_database", "does not exist"),
        (said("", 'x\nFATAL:  password authentication failed for user "root"\n', 2), "refused", "authentication"),
        (said("", "psql: error: FATAL:  the database system is starting up\n", 2), "away", "starting up"),
        (said("\n", "", 2), "away", "PostgreSQL said nothing"),
        (refusing("psql in cvat-db did not end within 15 s."), "away", "did not end"),
        (said('{"server": "15.4"}\nnoise of a pager\n'), "away", "noise of a pager"),
        (said("[1, 2]\n"), "away", "[1, 2]"),
    ],
)
def test_a_database_that_cannot_be_asked_is_a_fault(podman: Any, fault: Fault, words: str) -> None:
    seen = facts.database_facts(podman, StackSettings(), there(facts.DATABASE))
    assert seen.fault == fault
    assert words in seen.words
    assert (seen.migrations, seen.superusers) == (None, {})


def test_a_database_that_does_not_run_is_not_asked() -> None:
    seen = facts.database_facts(refusing("not to be asked"), StackSettings(), {})
    assert (seen.fault, seen.words) == ("away", "cvat-db does not run")


# ---- HTTP ----


@contextmanager
def face(health: tuple[int, bytes], ui: int = 200) -> Iterator[StackSettings]:
    """A proxy that answers so."""

    class Proxy(Handler):
        def do_GET(self) -> None:
            status, body = health if self.path == facts.HEALTH_PATH else (ui, b"<html>")
            self.send(status, "text/html", body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    with running(server):
        yield StackSettings(port=server.server_port, host="0.0.0.0")


def test_health_is_read_in_cvats_own_words() -> None:
    body = {"Cache backend: media": "working", "DiskUsage": "93 %"}
    with face((500, json.dumps(body).encode())) as settings:
        seen = facts.http_facts(settings)
    assert (seen.status, seen.ui_status, seen.fault) == (500, 200, "")
    assert seen.checks == body
    assert seen.unwell == {"DiskUsage": "93 %"}


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"[]", b"null", b"\xff\xfe"])
def test_an_answer_that_is_not_cvats_has_no_checks(body: bytes) -> None:
    with face((502, body), 502) as settings:
        seen = facts.http_facts(settings)
    assert (seen.status, seen.checks, seen.ui_status, seen.fault) == (502, {}, 502, "")


def test_a_proxy_of_the_environment_is_not_gone_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with face((200, b"{}")) as settings:
        assert facts.http_facts(settings).status == 200


def test_a_proxy_that_does_not_answer_is_a_fault() -> None:
    with face((200, b"")) as settings:
        pass
    assert f"http://127.0.0.1:{settings.port} does not answer" in facts.http_facts(settings).fault
