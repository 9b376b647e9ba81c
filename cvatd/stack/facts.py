"""What can be seen of a running stack in a fifth of a second: asked side by side, and nothing of it assumed.

CVAT's own `migrate --check` takes four seconds, and `health` knows nothing of migrations or workers; so PostgreSQL,
Redis and the HTTP face are asked themselves.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Literal

import requests

from cvatd.core.errors import CvatdError
from cvatd.core.queries import queries
from cvatd.core.settings import StackSettings
from cvatd.stack import secret_files
from cvatd.stack.podman import Found, Podman
from cvatd.stack.podman_gaps import ExecResult

ASK_TIMEOUT_S = 15.0
HTTP_TIMEOUT_S = 10.0
SHOWN_CHARACTERS = 200
REDIS = "cvat-redis"
DATABASE = "cvat-db"
MARK_KEY = "cvatd:initialised"
HEALTHY_WORDS = "working"
# RQ's workers give a sign of life every few seconds while idle, and are given up after 420.
SILENT_WORKER_S = 420.0
HEALTH_PATH = "/api/server/health/?format=json"

Fault = Literal["away", "no_database", "refused"]


@dataclass(frozen=True)
class DatabaseFacts:
    """`migrations` is None where CVAT's tables are not there yet; `superusers` maps names to marks of their passwords.

    `fault` says that it could not be asked, `words` why.
    """

    version: str | None = None
    migrations: frozenset[str] | None = None
    superusers: dict[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    words: str = ""


@dataclass(frozen=True)
class Queue:
    queued: int
    started: int
    failed: int


@dataclass(frozen=True)
class Worker:
    """`silent_s` is the time since its last sign of life; `gone` is one that was killed with its container."""

    hostname: str
    queues: list[str]
    state: str
    silent_s: float
    gone: bool = False

    @property
    def alive(self) -> bool:
        return not self.gone and self.silent_s < SILENT_WORKER_S


@dataclass(frozen=True)
class RedisFacts:
    """`mark` is the image that `init` ran with; an emptied Redis has lost it, and CVAT its own marks with it.

    `info` is what Redis says of itself: version, memory, how its last writes to disk ended.
    """

    queues: dict[str, Queue] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    mark: str = ""
    info: dict[str, str] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True)
class HttpFacts:
    """Through the proxy, as people come. `checks` are CVAT's own words for each part of its health."""

    status: int | None = None
    checks: dict[str, str] = field(default_factory=dict)
    ui_status: int | None = None
    fault: str = ""

    @property
    def unwell(self) -> dict[str, str]:
        return {name: words for name, words in self.checks.items() if words != HEALTHY_WORDS}


@dataclass(frozen=True)
class Facts:
    found: dict[str, Found]
    database: DatabaseFacts
    redis: RedisFacts
    http: HttpFacts


def gather(podman: Podman, settings: StackSettings) -> Facts:
    """All facts, asked side by side. Raises CvatdError "podman" alone: every other silence is a fact."""
    found = podman.containers()
    with ThreadPoolExecutor(3) as pool:
        database = pool.submit(database_facts, podman, settings, found)
        redis = pool.submit(redis_facts, podman, found)
        http = pool.submit(http_facts, settings)
        return Facts(found, database.result(), redis.result(), http.result())


def database_facts(podman: Podman, settings: StackSettings, found: dict[str, Found]) -> DatabaseFacts:
    """Of CVAT's database, in its container or outside."""
    if settings.database is not None:
        return _external_facts(settings)
    if not _runs(found, DATABASE):
        return DatabaseFacts(fault="away", words=f"{DATABASE} does not run")
    try:
        asked = _psql(podman, "facts.sql")
    except CvatdError as error:
        return DatabaseFacts(fault="away", words=error.message)
    if not asked.out.strip():
        return _database_fault(asked.err)
    return _database_facts(asked.out.splitlines())


def superuser_hashes(podman: Podman, settings: StackSettings) -> dict[str, str]:
    """Superuser -> what Django stores of the password; none where the database cannot be asked. For no other eyes."""
    import psycopg

    try:
        rows = _external(settings, "hashes.sql") if settings.database else _psql(podman, "hashes.sql").out.splitlines()
        hashes: dict[str, str] = json.loads("".join(rows))
    except (psycopg.Error, CvatdError, ValueError):
        return {}
    return hashes


def _psql(podman: Podman, file: str) -> ExecResult:
    """In the database's container: a line of JSON for each statement of the file. Raises CvatdError."""
    statements = [part for query in queries("cvatd.stack", file).values() for part in ("-c", query)]
    return podman.execute(DATABASE, ["psql", "-XAtq", "-U", "root", "-d", "cvat", *statements], timeout_s=ASK_TIMEOUT_S)


def _external_facts(settings: StackSettings) -> DatabaseFacts:
    import psycopg

    try:
        return _database_facts(_external(settings, "facts.sql"))
    except (psycopg.Error, CvatdError) as error:
        return _database_fault(str(error))


def _external(settings: StackSettings, file: str) -> list[str]:
    """As `_psql`, of a database outside of the stack. Raises CvatdError, psycopg.Error."""
    import psycopg

    database = settings.database
    assert database is not None
    rows = []
    with psycopg.connect(
        host=database.host,
        port=database.port,
        dbname=database.name,
        user=database.user,
        password=secret_files.read(settings, secret_files.POSTGRES),
        connect_timeout=int(ASK_TIMEOUT_S),
        autocommit=True,
    ) as connection:
        for query in queries("cvatd.stack", file).values():
            try:
                row = connection.execute(query).fetchone()
            except psycopg.errors.UndefinedTable:
                continue
            rows += [json.dumps(row[0])] if row else []
    return rows


def _database_fault(words: str) -> DatabaseFacts:
    last = words.strip().splitlines()[-1] if words.strip() else "PostgreSQL said nothing"
    if "does not exist" in last:
        return DatabaseFacts(fault="no_database", words=last)
    return DatabaseFacts(fault="refused" if "authentication" in last else "away", words=last)


def _database_facts(lines: list[str]) -> DatabaseFacts:
    merged: dict[str, Any] = {}
    for line in lines:
        try:
            merged |= json.loads(line)
        except (ValueError, TypeError):
            return DatabaseFacts(fault="away", words=f"PostgreSQL said {line[:SHOWN_CHARACTERS]!r}")
    migrations = merged.get("migrations")
    return DatabaseFacts(
        version=merged.get("server"),
        migrations=frozenset(migrations) if migrations is not None else None,
        superusers=merged.get("superusers", {}),
    )


def redis_facts(podman: Podman, found: dict[str, Found]) -> RedisFacts:
    """Of CVAT's queues and workers."""
    if not _runs(found, REDIS):
        return RedisFacts(fault=f"{REDIS} does not run")
    try:
        asked = podman.execute(REDIS, ["redis-cli", "--raw", "EVAL", _script(), "0"], timeout_s=ASK_TIMEOUT_S)
        answer = json.loads(asked.out)
        now = float(answer["now"])
    except CvatdError as error:
        return RedisFacts(fault=error.message)
    except (ValueError, TypeError):
        return RedisFacts(fault=(asked.out or asked.err).strip()[:SHOWN_CHARACTERS] or "Redis said nothing")
    return RedisFacts(
        # An empty table of Lua is an empty list of JSON.
        queues={name: Queue(**queue) for name, queue in dict(answer["queues"] or {}).items()},
        workers=[_worker(worker, now, found) for worker in answer["workers"] or []],
        mark=answer["mark"],
        info=_info(answer["info"]),
    )


def _info(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}


def _script() -> str:
    return files("cvatd.stack").joinpath("queues.lua").read_text()


def _worker(worker: dict[str, str], now: float, found: dict[str, Found]) -> Worker:
    """One that was killed stays in Redis for minutes; its container does not run, or runs anew since its last sign."""
    try:
        at = datetime.fromisoformat(worker["last_heartbeat"].replace("Z", "+00:00"))
        beat = at.replace(tzinfo=at.tzinfo or UTC).timestamp()
    except ValueError:
        beat = float("-inf")
    container = found.get(worker["hostname"])
    gone = container is not None and (not container.running or beat < container.started_at)
    queues = [queue for queue in worker["queues"].split(",") if queue]
    return Worker(worker["hostname"], queues, worker["state"], max(0.0, now - beat), gone)


def set_mark(podman: Podman, image_id: str) -> None:
    """Remember in CVAT's own Redis that `init` was done: whoever empties it loses the mark with all else."""
    asked = podman.execute(REDIS, ["redis-cli", "SET", MARK_KEY, image_id], timeout_s=ASK_TIMEOUT_S)
    if asked.out.strip() != "OK":
        raise CvatdError("redis", f"{REDIS} does not take writes: {(asked.out or asked.err).strip()}")


def http_facts(settings: StackSettings) -> HttpFacts:
    """Of CVAT's own health check and of its pages."""
    base = settings.local_url
    try:
        with requests.Session() as session:
            session.trust_env = False  # a proxy that the environment names does not lead to this host
            health = session.get(base + HEALTH_PATH, timeout=HTTP_TIMEOUT_S)
            ui = session.get(base + "/", timeout=HTTP_TIMEOUT_S, stream=True)
            ui.close()
    except requests.RequestException as error:
        return HttpFacts(fault=f"{base} does not answer ({type(error).__name__})")
    try:
        body = health.json()
        checks = {str(name): str(words) for name, words in body.items()} if isinstance(body, dict) else {}
    except ValueError:
        checks = {}
    return HttpFacts(status=health.status_code, checks=checks, ui_status=ui.status_code)


def _runs(found: dict[str, Found], name: str) -> bool:
    return name in found and found[name].running
