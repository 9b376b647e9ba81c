"""In which order containers start and stop, and what one that fails does to the others: without a real Podman, for
none fails at will."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import bridge, limits, rotate, runner, secret_files
from cvatd.stack.initialise import Initialised
from cvatd.stack.plan import make_plan
from cvatd.stack.podman_gaps import ExecResult
from cvatd.stack.render import render
from cvatd.stack.runner import Runner, _leaves_first, _Rising
from cvatd.stack.spec import INIT_CONTAINER, Stack
from tests.stack.memory_podman import Memory

TIMEOUT_S = 20
SETTINGS = StackSettings()
STACK = render(SETTINGS)
STORES = STACK.container("cvat-server").needs


class Init:
    """In the initialiser's place: what it does is tested by itself."""

    def __init__(self, ensure: Callable[[], Initialised]) -> None:
        self._ensure = ensure

    def ensure(self, say: Callable[[str], None]) -> Initialised:
        return self._ensure()


@pytest.fixture
def podman() -> Memory:
    return Memory()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackSettings:
    (tmp_path / "cgroups").mkdir()
    (tmp_path / "cvat" / "state").mkdir(parents=True)
    monkeypatch.setattr(limits, "CGROUPS", tmp_path / "cgroups")
    monkeypatch.setattr(bridge, "keep_address", lambda interface: False)
    return StackSettings(data_dir=tmp_path / "cvat")


def told(_: str, __: str, ___: str) -> None:
    """Nobody listens."""


def rising(
    podman: Memory,
    settings: StackSettings,
    monkeypatch: pytest.MonkeyPatch,
    init: Callable[[], Initialised] = lambda: Initialised(True, ""),
    stack: Stack = STACK,
) -> _Rising:
    made = Runner(podman, settings)  # type: ignore[arg-type]
    monkeypatch.setattr(made, "initialiser", lambda stack: Init(init))
    plan = make_plan(stack, podman.containers(), {}, True)
    return _Rising(made, stack, plan, told)


def raised(rise: _Rising) -> BaseException:
    """What `run` raises; bounded, whatever hangs."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            rise.run()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()
    assert caught
    return caught[0]


# ---- rising ----


def test_each_starts_after_what_it_needs_and_the_server_after_init(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init() -> Initialised:
        podman.events.append(("start", "init"))
        return Initialised(True, "")

    assert rising(podman, settings, monkeypatch, init).run().ran
    order = podman.names("start")
    assert sorted(order) == sorted([*STACK.names, "init"])
    for container in STACK.containers:
        for need in container.needs:
            assert order.index(need) < order.index(container.name)
        if container.initialised:
            assert order.index("init") < order.index(container.name)
    assert all(order.index(store) < order.index("init") for store in STORES)


def test_what_waits_for_init_is_made_meanwhile(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [container.name for container in STACK.containers if container.initialised]

    def init() -> Initialised:
        deadline = time.monotonic() + TIMEOUT_S
        while not set(waiting) <= set(podman.names("create")) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert set(waiting) <= set(podman.names("create"))
        assert not set(waiting) & set(podman.names("start"))
        return Initialised(True, "")

    rising(podman, settings, monkeypatch, init).run()
    assert set(waiting) <= set(podman.names("start"))
    assert sorted(podman.names("create")) == sorted(STACK.names)


def test_the_first_failure_is_raised_and_what_needs_it_never_starts(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    podman.fail[("start", "cvat-db")] = CvatdError("container", "no database today")
    asked: list[str] = []

    def init() -> Initialised:
        asked.append("init")
        return Initialised(True, "")

    error = raised(rising(podman, settings, monkeypatch, init))
    assert isinstance(error, CvatdError)
    assert error.message == "no database today"
    assert asked == []
    assert not {c.name for c in STACK.containers if c.initialised} & set(podman.names("start"))


def test_after_a_failure_nothing_more_is_started_by_those_still_at_work(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis hangs while the database fails; freed later, it is found started and no one goes on from there."""
    held = podman.hold[("start", "cvat-redis")] = threading.Event()
    podman.hold[("start", "cvat-db")] = podman.begun[("start", "cvat-redis")] = threading.Event()
    podman.fail[("start", "cvat-db")] = CvatdError("container", "no database today")
    assert "no database" in str(raised(rising(podman, settings, monkeypatch)))
    before = [name for name in podman.names("start") if name != "cvat-redis"]
    held.set()
    deadline = time.monotonic() + TIMEOUT_S
    while "cvat-redis" not in podman.names("start") and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    assert [name for name in podman.names("start") if name != "cvat-redis"] == before


def test_an_init_that_fails_is_the_reason_that_is_told(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init() -> Initialised:
        raise CvatdError("init", "a migration failed")

    error = raised(rising(podman, settings, monkeypatch, init))
    assert isinstance(error, CvatdError)
    assert error.code == "init"
    assert "cvat-server" not in podman.names("start")


def test_a_container_that_ends_at_once_is_told_with_its_last_words(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = podman.start

    def ends(name: str) -> None:
        start(name)
        if name == "cvat-kvrocks":
            podman.put(name, "exited", exit_code=3)

    monkeypatch.setattr(podman, "start", ends)
    error = raised(rising(podman, settings, monkeypatch))
    assert "cvat-kvrocks ended with status 3" in str(error)
    assert "the last words of cvat-kvrocks" in str(error)


def test_what_runs_as_declared_is_left_alone(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for container in STACK.containers:
        podman.put(container.name, spec=container.model_dump_json())
    rising(podman, settings, monkeypatch, lambda: Initialised(False, "nothing to do")).run()
    assert podman.events == []


def test_an_emptied_redis_makes_the_workers_register_anew(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for container in STACK.containers:
        podman.put(container.name, spec=container.model_dump_json())
    rising(podman, settings, monkeypatch, lambda: Initialised(True, "", redis_emptied=True)).run()
    assert sorted(podman.names("start")) == sorted(c.name for c in STACK.containers if c.queues)


def test_what_is_declared_otherwise_is_stopped_removed_and_made_anew(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for container in STACK.containers:
        podman.put(container.name, spec=container.model_dump_json())
    podman.put("cvat-ui", spec="{}")
    rising(podman, settings, monkeypatch).run()
    assert podman.events == [(verb, "cvat-ui") for verb in ("stop", "remove", "create", "start")]


def test_a_container_of_the_users_own_may_need_cvats_server(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"a-dashboard": {"image": "docker.io/x:1", "needs": ["cvat-server"]}}
    stack = render(StackSettings.model_validate({"extra_containers": extra}))
    rising(podman, settings, monkeypatch, stack=stack).run()
    order = podman.names("start")
    assert order.index("cvat-server") < order.index("a-dashboard")


# ---- down ----


@given(st.sets(st.sampled_from([*STACK.names, "cvat-worker-old", "other"])))
def test_containers_stop_before_those_that_they_need(names: set[str]) -> None:
    waves = _leaves_first(sorted(names), STACK)
    assert sorted(name for wave in waves for name in wave) == sorted(names)
    assert all(waves)
    stopped = {name: n for n, wave in enumerate(waves) for name in wave}
    for container in STACK.containers:
        for need in container.needs:
            if {container.name, need} <= stopped.keys():
                assert stopped[container.name] < stopped[need]


def test_down_removes_ours_alone_leaves_first(podman: Memory, settings: StackSettings) -> None:
    for name in STACK.names:
        podman.put(name)
    podman.put("theirs", ours=False)
    podman.put(INIT_CONTAINER, "exited")
    Runner(podman, settings).down(told)  # type: ignore[arg-type]
    assert podman.containers().keys() == {"theirs"}
    order = podman.names("stop")
    assert sorted(order) == sorted([*STACK.names, INIT_CONTAINER])
    for container in STACK.containers:
        for need in container.needs:
            assert order.index(container.name) < order.index(need)
    assert podman.events[-1] == ("remove", STACK.network)


@pytest.mark.parametrize(
    ("state", "words"),
    [("running", "migrating the database"), ("stopping", "migrating the database"), ("paused", "podman unpause")],
)
def test_down_waits_for_an_init_at_work_and_touches_nothing_until_then(
    podman: Memory, settings: StackSettings, state: str, words: str
) -> None:
    for name in STACK.names:
        podman.put(name)
    podman.put(INIT_CONTAINER, state)
    with pytest.raises(CvatdError, match=words) as refused:
        Runner(podman, settings).down(told)  # type: ignore[arg-type]
    assert refused.value.code == "busy"
    assert podman.events == []
    assert not (settings.data_dir / "state" / "wishes.json").exists()


# ---- else ----


def test_the_databases_password_is_not_changed_under_an_init_at_work(podman: Memory, settings: StackSettings) -> None:
    for name in (*STACK.names, INIT_CONTAINER):
        podman.put(name)
    secret_files.folder(settings).mkdir()
    made = Runner(podman, settings)  # type: ignore[arg-type]
    with pytest.raises(CvatdError, match="migrating the database") as refused:
        rotate.database(made, told)
    assert refused.value.code == "busy"
    assert not secret_files.is_changing(settings, secret_files.POSTGRES)
    secret_files.path(settings, secret_files.proposed(secret_files.POSTGRES)).write_text("begun before")
    with pytest.raises(CvatdError, match="migrating the database"):
        rotate.settle_database(made, told)
    assert podman.events == []


def test_a_podman_without_root_is_refused(settings: StackSettings) -> None:
    with pytest.raises(CvatdError, match="without root") as refused:
        Runner(Memory(rootless=True), settings)  # type: ignore[arg-type]
    assert refused.value.code == "podman"


def test_who_may_ask_podman_and_not_enter_the_data_folder_is_sent_to_sudo(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As members of a group to whom the socket is open."""
    monkeypatch.setattr("os.access", lambda path, mode: mode == os.F_OK)
    with pytest.raises(CvatdError, match=r"stack\.data_dir.* use sudo") as refused:
        Runner(podman, settings)  # type: ignore[arg-type]
    assert refused.value.code == "data_dir"
    monkeypatch.setattr("os.access", lambda path, mode: False)
    Runner(podman, settings)  # type: ignore[arg-type]  # not there yet


def test_a_name_that_the_stack_has_not_is_told_with_those_that_it_has(podman: Memory, settings: StackSettings) -> None:
    with pytest.raises(CvatdError, match="cvat-server") as refused:
        Runner(podman, settings).restart(["cvat-severr"], told)  # type: ignore[arg-type]
    assert refused.value.code == "usage"
    assert podman.events == []


def test_restart_stops_none_when_one_is_not_there(podman: Memory, settings: StackSettings) -> None:
    podman.put("cvat-ui")
    with pytest.raises(CvatdError, match="cvat-opa is not there") as refused:
        Runner(podman, settings).restart(["cvat-ui", "cvat-opa"], told)  # type: ignore[arg-type]
    assert refused.value.code == "not_running"
    assert podman.events == []


@pytest.mark.parametrize(
    ("state", "words"), [("running", "migrating the database"), ("paused", "podman unpause"), ("exited", "")]
)
def test_an_init_at_work_does_not_lose_its_stores(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch, state: str, words: str
) -> None:
    monkeypatch.setattr(Runner, "wait_healthy", lambda *_: None)
    for name in STACK.names:
        podman.put(name)
    podman.put(INIT_CONTAINER, state)
    made = Runner(podman, settings)  # type: ignore[arg-type]
    made.restart(["cvat-ui"], told)
    before = list(podman.events)
    if not words:
        made.restart([], told)
        return
    for names in ([], ["cvat-ui", "cvat-db"], ["cvat-redis"]):
        with pytest.raises(CvatdError, match=words) as refused:
            made.restart(names, told)
        assert refused.value.code == "busy"
    assert podman.events == before


@pytest.mark.parametrize(
    ("exit_code", "marked", "kills", "words"),
    [
        (137, True, 1, "The kernel killed a process of it for want of memory"),
        (
            137,
            False,
            1,
            "for want of memory, as something in this stack was before (cvatd doctor oom-kills pressure), or",
        ),
        (137, False, 0, ""),
        (1, False, 1, ""),
        (None, False, 0, "not there"),
    ],
)
def test_why_a_container_ended(
    podman: Memory,
    settings: StackSettings,
    monkeypatch: pytest.MonkeyPatch,
    exit_code: int | None,
    marked: bool,
    kills: int,
    words: str,
) -> None:
    monkeypatch.setattr(podman, "inspect", lambda _: {"State": {"OOMKilled": marked}})
    made = Runner(podman, settings)  # type: ignore[arg-type]
    usage = limits.Usage(1, 2, 2, 0.0, 100, kills, False)
    made.parent.usage = lambda: usage  # type: ignore[method-assign]
    if exit_code is not None:
        podman.put("cvat-db", "exited", exit_code=exit_code)
    said = made.explain_end("cvat-db")
    assert words in said
    assert ("memory" in said) == ("memory" in words)


def test_one_that_never_becomes_well_is_given_up(
    podman: Memory, settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "HEALTHY_TIMEOUT_S", 0.3)
    monkeypatch.setattr(podman, "execute", lambda *_: ExecResult(2, "", "no response"))
    podman.put("cvat-db")
    made = Runner(podman, settings)  # type: ignore[arg-type]
    with pytest.raises(CvatdError, match="not well within 0 s: no response") as refused:
        made.wait_healthy(STACK.container("cvat-db"), told, lambda: False)
    assert refused.value.code == "container"
    with pytest.raises(runner.Stopped):
        made.wait_healthy(STACK.container("cvat-db"), told, lambda: True)
