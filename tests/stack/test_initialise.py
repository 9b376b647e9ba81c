"""When init runs, waits, takes up what another began, or refuses: decided by facts, without a real CVAT."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import facts, initialise, limits, versions
from cvatd.stack.facts import DatabaseFacts, RedisFacts
from cvatd.stack.initialise import INIT_SCRIPT, MANAGE_SCRIPT, SERVER, Initialised, Initialiser
from cvatd.stack.limits import Parent
from cvatd.stack.podman_gaps import FRAME, ExecResult
from cvatd.stack.render import render
from cvatd.stack.spec import INIT_CONTAINER, Container
from tests.stack.memory_podman import Memory

STACK = render(StackSettings())
STORES = STACK.container(SERVER).needs
IMAGE = "2" * 64
ANSWER = {"required": ["engine.0001"], "superuser": {"username": "admin", "made": True, "mark": "mark"}}
TIMEOUT_S = 20


class Cvat(Memory):
    """With a database and a Redis that an init fills. `init` says what its container does when it starts."""

    def __init__(self, answer: Path) -> None:
        super().__init__()
        self.answer = answer
        self.database = DatabaseFacts("15.4")
        self.redis = RedisFacts()
        self.made: list[Container] = []
        self.waited = 0
        for name in STORES:
            self.put(name)

    def image_id(self, reference: str) -> str:
        return IMAGE

    def create(self, container: Container, *_: object) -> None:
        super().create(container)
        self.made.append(container)
        self.put(container.name, "created", spec=container.model_dump_json())

    def start(self, name: str) -> None:
        spec = self.containers()[name].spec
        super().start(name)
        self.put(name, spec=spec)
        self.init()

    def init(self) -> None:
        """Well."""
        self.migrate()
        self.end(0)

    def migrate(self) -> None:
        self.answer.write_text(json.dumps(ANSWER))
        self.database = DatabaseFacts("15.4", frozenset({"engine.0001"}), {"admin": "mark"})

    def end(self, status: int) -> None:
        self.put(INIT_CONTAINER, "exited", exit_code=status, spec=self.containers()[INIT_CONTAINER].spec)

    def wait(self, name: str, timeout_s: float) -> int:
        self.waited += 1
        return self.containers()[name].exit_code

    def execute(self, name: str, argv: Any, timeout_s: float = 0) -> ExecResult:
        assert argv[:3] == ["redis-cli", "SET", facts.MARK_KEY]
        self.redis = RedisFacts(mark=argv[3])
        return ExecResult(0, "OK\n", "")


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    (tmp_path / "cvat" / "state" / "init").mkdir(parents=True)
    return StackSettings(data_dir=tmp_path / "cvat")


@pytest.fixture
def cvat(settings: StackSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cvat:
    made = Cvat(settings.data_dir / "state" / "init" / "answer.json")
    monkeypatch.setattr(facts, "database_facts", lambda *_: made.database)
    monkeypatch.setattr(facts, "redis_facts", lambda *_: made.redis)
    monkeypatch.setattr(limits, "CGROUPS", tmp_path)
    monkeypatch.setattr(initialise, "LOOK_S", 0.01)
    return made


@pytest.fixture
def initialiser(cvat: Cvat, settings: StackSettings) -> Initialiser:
    return Initialiser(cvat, settings, STACK, Parent("cvat", cvat.host()))  # type: ignore[arg-type]


def quiet(_: str) -> None:
    """Nobody listens."""


def test_an_empty_database_is_initialised_once(initialiser: Initialiser, cvat: Cvat, settings: StackSettings) -> None:
    said: list[str] = []
    assert initialiser.ensure(said.append) == Initialised(True, "the database is empty", superuser_made=True)
    assert said[0] == "the database is empty"
    assert cvat.redis.mark == IMAGE
    assert versions.migrations_of(settings, IMAGE) == {"engine.0001"}
    assert versions.data_version(settings) == STACK.version
    assert versions.initial_superuser(settings) == {"username": "admin", "mark": "mark"}
    assert not cvat.answer.exists()
    assert initialiser.ensure(quiet) == Initialised(False, "nothing to do")
    assert len(cvat.made) == 1


def test_it_runs_as_the_server_does_beside_nothing_that_leads_to_it(initialiser: Initialiser, cvat: Cvat) -> None:
    initialiser.ensure(quiet)
    made, server = cvat.made[0], STACK.container(SERVER)
    assert made.name == INIT_CONTAINER
    assert made.image == server.image
    assert made.environment.items() >= server.environment.items()
    assert made.environment["CVATD_SUPERUSER"] == "admin"
    assert set(made.secrets) == {*server.secrets, "superuser-password"}
    assert (made.aliases, made.publish, made.health) == ([], [], None)
    assert made.mounts[-1].target == "/init"


def test_one_that_fails_is_told_with_its_last_lines(
    initialiser: Initialiser, cvat: Cvat, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cvat, "init", lambda: cvat.end(1))
    with pytest.raises(CvatdError, match=r"ended with status 1(.|\n)*the last words of cvat-init") as refused:
        initialiser.ensure(quiet)
    assert refused.value.code == "init"
    assert versions.data_version(settings) is None


def test_one_that_is_paused_is_neither_removed_nor_waited_for(initialiser: Initialiser, cvat: Cvat) -> None:
    cvat.put(INIT_CONTAINER, "paused")
    with pytest.raises(CvatdError, match="podman unpause cvat-init") as refused:
        initialiser.ensure(quiet)
    assert refused.value.code == "busy"
    assert (cvat.made, cvat.waited) == ([], 0)
    assert INIT_CONTAINER in cvat.containers()


@pytest.mark.parametrize("put", [lambda answer: os.mkfifo(answer), lambda answer: answer.symlink_to("/dev/zero")])
def test_an_answer_that_is_no_file_is_none(
    initialiser: Initialiser, cvat: Cvat, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(cvat, "init", lambda: (put(cvat.answer), cvat.end(0)))
    with pytest.raises(CvatdError, match="ended well and still"):
        initialiser.ensure(quiet)


def test_one_that_ends_well_and_did_nothing_is_not_believed(
    initialiser: Initialiser, cvat: Cvat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cvat, "init", lambda: cvat.end(0))
    with pytest.raises(CvatdError, match="ended well and still: the database is empty"):
        initialiser.ensure(quiet)


@pytest.mark.parametrize(
    "answer",
    ["", "{", "[]", "{}", '{"required": 1, "superuser": {}}', '{"required": [], "superuser": {"made": true}}'],
)
def test_an_answer_that_is_not_whole_is_none(
    initialiser: Initialiser, cvat: Cvat, settings: StackSettings, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """It comes out of a container."""

    def init() -> None:
        cvat.answer.write_text(answer)
        cvat.end(0)

    monkeypatch.setattr(cvat, "init", init)
    with pytest.raises(CvatdError, match="ended well and still"):
        initialiser.ensure(quiet)
    assert versions.data_version(settings) is None


def test_the_answer_of_one_whose_caller_was_killed_is_taken_up(
    initialiser: Initialiser, cvat: Cvat, settings: StackSettings
) -> None:
    cvat.put(INIT_CONTAINER, "exited", spec="{}")
    cvat.migrate()
    assert initialiser.ensure(quiet) == Initialised(False, "nothing to do")
    assert cvat.made == []
    assert versions.migrations_of(settings, IMAGE) == {"engine.0001"}
    assert not cvat.answer.exists()


def test_an_answer_of_one_that_still_runs_is_left(initialiser: Initialiser, cvat: Cvat) -> None:
    cvat.database = DatabaseFacts("15.4", frozenset({"engine.0001"}), {"admin": "mark"})
    cvat.redis = RedisFacts(mark=IMAGE)
    cvat.put(INIT_CONTAINER, spec=json.dumps({"command": [INIT_SCRIPT]}))
    cvat.answer.write_text(json.dumps(ANSWER))
    cvat.wait = lambda *_: cvat.end(0) or 0  # type: ignore[method-assign, func-returns-value]
    initialiser.ensure(quiet)
    assert cvat.made == []


def test_a_second_caller_waits_for_the_first_and_makes_none(initialiser: Initialiser, cvat: Cvat) -> None:
    cvat.put(INIT_CONTAINER, spec=json.dumps({"command": ["bash", "-c", INIT_SCRIPT]}))
    said: list[str] = []

    def wait(*_: object) -> int:
        cvat.init()
        return 0

    cvat.wait = wait  # type: ignore[method-assign]
    assert initialiser.ensure(said.append).ran
    assert any("at work already" in words for words in said)
    assert cvat.made == []


def test_a_command_of_manage_at_work_is_waited_for_and_init_runs_then(initialiser: Initialiser, cvat: Cvat) -> None:
    """Its good end says nothing of an init."""
    cvat.put(INIT_CONTAINER, spec=json.dumps({"command": ["bash", "-c", MANAGE_SCRIPT]}))
    original = cvat.wait

    def wait(name: str, timeout_s: float) -> int:
        if not cvat.made:
            cvat.end(0)
        return original(name, timeout_s)

    cvat.wait = wait  # type: ignore[method-assign]
    assert initialiser.ensure(quiet).ran
    assert len(cvat.made) == 1


def test_all_who_come_while_it_runs_share_one_container(
    initialiser: Initialiser, cvat: Cvat, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody, ended = threading.Barrier(4), threading.Event()

    def wait(*_: object) -> int:
        if everybody.wait(TIMEOUT_S) == 0:
            Cvat.init(cvat)
            ended.set()
        assert ended.wait(TIMEOUT_S)
        return 0

    monkeypatch.setattr(cvat, "init", lambda: None)
    cvat.wait = wait  # type: ignore[method-assign]
    done: list[Initialised] = []
    threads = [threading.Thread(target=lambda: done.append(initialiser.ensure(quiet)), daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert [one.ran for one in done] == [True] * 4
    assert len(cvat.made) == 1


def other_init(initialiser: Initialiser, _: Cvat) -> None:
    initialiser.ensure(quiet)


def other_init_whose_caller_was_killed(_: Initialiser, cvat: Cvat) -> None:
    cvat.put(INIT_CONTAINER, "exited", spec="{}")
    cvat.migrate()


@pytest.mark.parametrize("meanwhile", [other_init, other_init_whose_caller_was_killed])
def test_who_was_held_up_for_a_whole_init_makes_no_second_one(
    initialiser: Initialiser, cvat: Cvat, meanwhile: Callable[[Initialiser, Cvat], None]
) -> None:
    """Between what it saw and its turn."""
    held_up: list[str] = []

    def say(words: str) -> None:
        if not held_up:
            held_up.append(words)
            meanwhile(initialiser, cvat)

    done = initialiser.ensure(say)
    assert held_up == ["the database is empty"]
    assert done == Initialised(True, "the database is empty", superuser_made=True)
    assert len(cvat.made) == (meanwhile is other_init)
    assert cvat.redis.mark == IMAGE


def test_stores_that_are_down_are_named_at_once(initialiser: Initialiser, cvat: Cvat) -> None:
    cvat.put("cvat-redis", "exited")
    del cvat.there["cvat-db"]
    with pytest.raises(CvatdError, match=r"cvat-db, cvat-redis do not run\. `cvatd up`") as refused:
        initialiser.ensure(quiet)
    assert refused.value.code == "store_away"
    assert cvat.made == []


def test_stores_that_never_answer_are_given_up(
    initialiser: Initialiser, cvat: Cvat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initialise, "STORES_TIMEOUT_S", 0.3)
    cvat.database = DatabaseFacts(fault="away", words="starting up")
    with pytest.raises(CvatdError, match="starting up") as refused:
        initialiser.ensure(quiet)
    assert refused.value.code == "store_away"


def test_without_a_database_nothing_is_migrated(initialiser: Initialiser, cvat: Cvat) -> None:
    cvat.database = DatabaseFacts(fault="no_database", words='database "cvat" does not exist')
    with pytest.raises(CvatdError, match="there is no database") as refused:
        initialiser.ensure(quiet)
    assert refused.value.code == "no_database"
    assert cvat.made == []


def test_an_emptied_redis_is_told_to_who_asked(initialiser: Initialiser, cvat: Cvat) -> None:
    initialiser.ensure(quiet)
    cvat.redis = RedisFacts()
    done = initialiser.ensure(quiet)
    assert (done.ran, done.redis_emptied) == (True, True)


def test_manage_shows_each_line_once_however_often_it_asks(
    initialiser: Initialiser, cvat: Cvat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first stream stays silent in the middle; the second ends with the container, the third has all of it."""
    lines = [frame(False, b"one\n"), frame(True, b"two\n"), frame(False, b"three\n")]
    follows: list[str] = []

    def log_stream(name: str, params: dict[str, str], quiet_s: float) -> Iterator[bytes]:
        follows.append(params["follow"])
        if len(follows) == 2:
            cvat.end(4)
        yield from lines[: len(follows)]

    monkeypatch.setattr(cvat, "log_stream", log_stream, raising=False)
    monkeypatch.setattr(cvat, "init", lambda: None)
    shown: list[tuple[bool, str]] = []
    assert initialiser.manage(["migrate"], quiet, lambda *line: shown.append(line)) == 4
    assert shown == [(False, "one\n"), (True, "two\n"), (False, "three\n")]
    assert follows == ["true", "true", "false"]


def frame(of_errors: bool, content: bytes) -> bytes:
    return FRAME.pack(1 + of_errors, len(content)) + content
