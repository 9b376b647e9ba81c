"""How long readiness is waited for, and for whose sake: without a Podman, by facts that change from look to look."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import facts, waiting
from cvatd.stack.facts import DatabaseFacts, Facts, HttpFacts, RedisFacts, Worker
from cvatd.stack.podman import Found
from cvatd.stack.readiness import InitState
from cvatd.stack.render import render
from cvatd.stack.waiting import wait_ready

SOON_S = 0.05
LONG_S = 60.0
STACK = render(StackSettings())
DONE = InitState("done", "nothing to do")
NEEDED = InitState("unmigrated", "the database is empty")


def found(name: str, state: str = "running") -> Found:
    return Found("1" * 64, name, state, "docker.io/x:1", "2" * 64, 7, 1, 1000.0, 0.0, "{}", True, None)


WELL = Facts(
    {name: found(name) for name in STACK.names},
    DatabaseFacts("15.4", frozenset(), {"admin": "mark"}),
    RedisFacts(mark="x", workers=[Worker(c.name, c.queues, "idle", 1.0) for c in STACK.containers if c.queues]),
    HttpFacts(200, {}, 200),
)
SILENT = replace(WELL, http=HttpFacts(fault="nobody answers"))
ENDED = replace(WELL, found=WELL.found | {"cvat-ui": found("cvat-ui", "exited")})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_LOOK_S", "LONGEST_LOOK_S", "ENDED_S", "INIT_BEGINS_S"):
        monkeypatch.setattr(waiting, name, SOON_S)


def wait(
    monkeypatch: pytest.MonkeyPatch,
    looks: list[tuple[Facts, InitState]],
    timeout_s: float = LONG_S,
    manager: str = "cvatd",
) -> list[str]:
    """What is told; the last look is that of all later ones."""
    told: list[str] = []
    left: Iterator[tuple[Facts, InitState]] = iter(looks)
    now = [looks[0]]

    def gather(*_: object) -> Facts:
        now[0] = next(left, now[0])
        return now[0][0]

    monkeypatch.setattr(facts, "gather", gather)
    runner = SimpleNamespace(
        settings=StackSettings.model_validate({"manager": manager}),
        podman=None,
        initialiser=lambda _: SimpleNamespace(judge=lambda *_: now[0][1]),
        explain_end=lambda name: f"{name} ended",
        keep_names=lambda _: None,
    )
    tell = lambda name, state, detail: told.append(f"{state} {detail}".strip())  # noqa: E731
    wait_ready(runner, STACK, tell, timeout_s)  # type: ignore[arg-type]
    return told


def test_it_ends_when_all_is_ready_and_tells_each_reason_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = wait(monkeypatch, [(SILENT, DONE), (SILENT, DONE), (WELL, DONE)])
    assert told == ["waiting nobody answers", "ready"]


def test_over_time_everything_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = replace(SILENT, redis=RedisFacts(fault="LOADING"))
    with pytest.raises(CvatdError, match=r"(?s)within 0 s:\n  nobody answers\n  the queues.*LOADING") as refused:
        wait(monkeypatch, [(missing, DONE)], timeout_s=SOON_S)
    assert refused.value.code == "not_ready"


def test_one_that_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CvatdError, match="cvat-ui ended"):
        wait(monkeypatch, [(ENDED, DONE)])
    assert wait(monkeypatch, [(ENDED, DONE), (WELL, DONE)])[-1] == "ready"


def test_what_another_command_is_at_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = [True] * 6
    monkeypatch.setattr(waiting.lock, "held", lambda _: bool(busy and busy.pop()))
    looks = [(ENDED, NEEDED)] * 6
    assert wait(monkeypatch, [*looks, (WELL, DONE)])[-1] == "ready"
    with pytest.raises(CvatdError, match="cvat-ui ended"):
        wait(monkeypatch, [(ENDED, NEEDED)])


def test_what_was_taken_down_meanwhile_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = replace(SILENT, found={})
    with pytest.raises(CvatdError, match=r"Nothing of CVAT runs .*`cvatd up` starts it") as refused:
        wait(monkeypatch, [(SILENT, DONE), (gone, DONE)])
    assert refused.value.code == "not_running"
    assert wait(monkeypatch, [(gone, DONE), (WELL, DONE)])[-1] == "ready"


def test_systemd_brings_back_what_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [(ENDED, DONE)] * 6
    assert wait(monkeypatch, [*looks, (WELL, DONE)], manager="systemd")[-1] == "ready"


@pytest.mark.parametrize(("manager", "command"), [("cvatd", "cvatd init"), ("systemd", "systemctl start cvat-init")])
def test_an_init_that_nobody_begins_is_named(monkeypatch: pytest.MonkeyPatch, manager: str, command: str) -> None:
    with pytest.raises(CvatdError, match=f"init is needed \\(the database is empty\\). `{command}") as refused:
        wait(monkeypatch, [(WELL, NEEDED)], manager=manager)
    assert refused.value.code == "init"


def test_an_init_at_work_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work = replace(WELL, found=WELL.found | {"cvat-init": found("cvat-init")})
    looks = [(at_work, NEEDED)] * 6
    assert wait(monkeypatch, [(WELL, NEEDED), *looks, (WELL, DONE)])[-1] == "ready"
