"""CVAT's migrations: exactly once, whoever asks and however often."""

import json
import threading
from collections.abc import Iterator

import pytest
import requests

from cvatd.stack import versions
from cvatd.stack.spec import STACK_LABEL
from tests.e2e.cvat.stand import NETWORK, SLICE, Stand
from tests.e2e.cvat.test_doctor import doctor
from tests.e2e.cvat.test_images import password

pytestmark = pytest.mark.e2e
STORES = ("cvat-db", "cvat-redis", "cvat-kvrocks")
SLOW_MIGRATION_S = "2"
TIMEOUT_S = 60


def bring_stores(stand: Stand, **settings: object) -> None:
    """What `init` needs, and no more."""
    stand.configure(**settings)
    runner = stand.runner()
    runner.prepare()
    for name in STORES:
        runner.bring_alone(runner.stack().container(name), lambda *words: None)


def sql(stand: Stand, statement: str, database: str = "cvat") -> str:
    asked = stand.podman.execute("cvat-db", ["psql", "-XAtq", "-U", "root", "-d", database, "-c", statement])
    assert asked.status == 0, asked.err
    return asked.out.strip()


def applied(stand: Stand) -> list[str]:
    return sql(stand, "SELECT app || '.' || name FROM django_migrations ORDER BY 1").splitlines()


def init(stand: Stand) -> tuple[int, dict[str, object]]:
    done = stand.cvatd("init", "--json", check=False)
    return done.returncode, json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr}


def test_no_database_an_empty_one_and_one_that_is_done_are_told_apart(stand: Stand) -> None:
    status, answer = init(stand)
    assert status == 3
    assert "cvat-db" in str(answer["error"])
    bring_stores(stand)
    sql(stand, "ALTER DATABASE cvat RENAME TO other", database="postgres")
    status, answer = init(stand)
    assert status == 1
    assert "there is no database" in str(answer["error"])
    wrong = doctor(stand, "database")["wrong"]
    assert wrong["database"]["words"] == "CVAT's database is not there."
    sql(stand, "ALTER DATABASE other RENAME TO cvat", database="postgres")
    status, answer = init(stand)
    assert (status, answer["ran"], answer["superuser_made"]) == (0, True, True)
    assert "empty" in str(answer["words"])
    status, answer = init(stand)
    assert (status, answer["ran"]) == (0, False)
    assert "Nothing to do" in stand.cvatd("init").stdout

    # An answer that the last container, which failed, did not give: of an image before this one.
    image_id = stand.podman.image_id(stand.runner().stack().container("cvat-server").image) or ""
    required = versions.migrations_of(stand.settings, image_id)
    assert stand.cvatd("manage", "--", "nonsense", check=False).returncode == 1
    stale = {"required": ["engine.0001_initial"], "superuser": {"username": "admin", "made": True, "mark": "stale"}}
    (stand.data_dir / "state" / "init" / "answer.json").write_text(json.dumps(stale))
    assert init(stand) == (0, answer)
    assert versions.migrations_of(stand.settings, image_id) == required
    assert versions.initial_superuser(stand.settings)["mark"] != "stale"

    # A migration that is under way is not killed, nor its database taken from under it.
    server = stand.runner().stack().container("cvat-server").image
    stand.host.run("rm", "cvat-init")
    long = ["--network=none", f"--cgroup-parent=/{SLICE}", "--label", f"{STACK_LABEL}={NETWORK}", server, "bash", "-c"]
    stand.host.run("run", "--detach", "--name=cvat-init", *long, "sleep 100")
    down = stand.cvatd("down", check=False)
    assert down.returncode == 3
    assert "migrating" in down.stderr
    assert {name for name, found in stand.containers().items() if found.running} == {*STORES, "cvat-init"}


def test_two_at_once_migrate_once_and_the_superuser_logs_in(stand: Stand) -> None:
    bring_stores(stand, environment={"SLOW_MIGRATION_S": SLOW_MIGRATION_S})
    answers: list[tuple[int, dict[str, object]]] = []
    callers = [threading.Thread(target=lambda: answers.append(init(stand)), daemon=True) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(TIMEOUT_S)
    assert [status for status, _ in answers] == [0, 0], answers
    assert sum(bool(answer["superuser_made"]) for _, answer in answers) >= 1
    once = applied(stand)
    assert len(once) == len(set(once))
    assert "engine.0003_since_2_80" in once
    assert sql(stand, "SELECT count(*) FROM auth_user WHERE is_superuser") == "1"
    stand.cvatd("up")
    assert applied(stand) == once
    credentials = {"username": "admin", "password": password(stand)}
    assert requests.post(f"{stand.url}/api/auth/login", json=credentials, timeout=TIMEOUT_S).status_code == 200


@pytest.fixture
def emptied(standing: Stand) -> Iterator[Stand]:
    """A stack whose Redis has lost everything, as after damage or by a hasty hand."""
    asked = standing.podman.execute("cvat-redis", ["redis-cli", "FLUSHALL"])
    assert asked.out.strip() == "OK"
    yield standing
    standing.up()


def test_an_emptied_redis_is_noticed_and_up_mends_it(emptied: Stand) -> None:
    seen = emptied.cvatd("status", "--json", check=False)
    assert seen.returncode == 3
    assert "Redis does not remember" in seen.stdout
    words = emptied.cvatd("up").stdout
    assert "Redis was emptied" in words
    assert "CVAT is ready" in words
    assert json.loads(emptied.cvatd("status", "--json").stdout)["ready"]
