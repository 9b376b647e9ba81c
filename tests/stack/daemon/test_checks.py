"""When a container counts as unwell, and that no check holds up another."""

import threading
import time
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from cvatd.stack.daemon.checks import Checked, Checks, after, may_ask
from cvatd.stack.health import Answer
from cvatd.stack.podman import Found
from cvatd.stack.spec import Container, Health

PATIENCE_S = 30.0
HEALTH = Health(exec=["true"], interval_s=10, retries=3, start_s=60)
BAD, GOOD = Answer(False, "no answer"), Answer(True)
LIFE = ("1" * 64, 1000.0)


def found(name: str, state: str = "running", started_at: float = 1000.0) -> Found:
    return Found("1" * 64, name, state, "image", "2" * 64, 7, 0, started_at, 0.0, "{}", True, None)


def container(name: str, health: Health | None = HEALTH) -> Container:
    return Container(
        name=name, image="i", command=[], environment={}, secrets=[], mounts=[], aliases=[], publish=[], needs=[],
        health=health, initialised=False, init=False, stop_s=10, stop_signal=None,
    )  # fmt: skip


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_failures_while_it_starts_do_not_count_and_it_is_asked_often() -> None:
    checked = after(Checked(LIFE), BAD, HEALTH, 1000.0, 1059.0)
    assert (checked.well, checked.failures, checked.due_at) == (None, 0, 1060.0)


def test_after_its_first_good_answer_they_count_at_once() -> None:
    checked = after(Checked(LIFE), GOOD, HEALTH, 1000.0, 1001.0)
    assert (checked.well, checked.due_at) == (True, 1011.0)
    for failures, well in ((1, True), (2, True), (3, False), (4, False)):
        checked = after(checked, BAD, HEALTH, 1000.0, 1002.0)
        assert (checked.failures, checked.well) == (failures, well)
    assert after(checked, GOOD, HEALTH, 1000.0, 1003.0).failures == 0


def test_one_that_never_gets_well_is_unwell_in_the_end() -> None:
    checked = Checked(LIFE)
    for _ in range(3):
        checked = after(checked, BAD, HEALTH, 1000.0, 1061.0)
    assert checked.well is False


@given(st.lists(st.booleans(), max_size=30))
def test_unwell_means_as_many_failures_in_a_row_as_declared(answers: list[bool]) -> None:
    checked, row = Checked(LIFE, well=True), 0
    for well in answers:
        checked = after(checked, Answer(well), HEALTH, 0.0, 5000.0)
        row = 0 if well else row + 1
        assert (checked.well is False) == (row >= HEALTH.retries)


def test_a_check_in_another_container_says_nothing_while_that_one_does_not_work() -> None:
    opa = container("cvat-opa", Health.model_validate({"exec": ["true"], "in": "cvat-proxy"}))
    assert may_ask(opa, {}, {"cvat-proxy": found("cvat-proxy")})
    assert not may_ask(opa, {}, {})
    assert not may_ask(opa, {}, {"cvat-proxy": found("cvat-proxy", "exited")})
    assert not may_ask(opa, {"cvat-proxy": Checked(LIFE, well=False)}, {"cvat-proxy": found("cvat-proxy")})
    assert may_ask(container("cvat-db"), {}, {})


def test_one_that_hangs_holds_up_no_other_and_is_not_asked_twice() -> None:
    over, asked = threading.Event(), []

    def ask(one: Container) -> Answer:
        asked.append(one.name)
        if one.name == "slow":
            over.wait(PATIENCE_S)
        return GOOD

    checks = Checks(ask, lambda: None)
    containers = {name: container(name) for name in ("slow", "fast")}
    there = {name: found(name) for name in containers}
    try:
        checks.turn(containers, there)
        wait_for(lambda: checks.known()["fast"].well is True)
        checks.turn(containers, there)
        assert checks.known()["slow"].well is None
        assert asked.count("slow") == 1
    finally:
        over.set()
    wait_for(lambda: checks.known()["slow"].well is True)


def test_an_answer_of_an_earlier_life_does_not_count() -> None:
    over = threading.Event()

    def ask(_: Container) -> Answer:
        over.wait(PATIENCE_S)
        return GOOD

    checks = Checks(ask, lambda: None)
    checks.turn({"a": container("a")}, {"a": found("a")})
    checks.turn({"a": container("a")}, {"a": found("a", started_at=2000.0)})
    over.set()
    time.sleep(0.1)
    assert checks.known()["a"].well is None


def test_where_podman_could_not_be_asked_nothing_is_known() -> None:
    asked = []

    def ask(one: Container) -> None:
        asked.append(one.name)

    strict = container("a", HEALTH.model_copy(update={"retries": 1, "start_s": 0, "interval_s": 0.01}))
    checks = Checks(ask, lambda: None)

    def asked_often() -> bool:
        checks.turn({"a": strict}, {"a": found("a")})
        return len(asked) >= 5

    wait_for(asked_often)
    assert checks.known()["a"].well is None


def test_one_without_a_check_is_well_while_it_runs() -> None:
    checks = Checks(lambda _: BAD, lambda: None)
    checks.turn({"a": container("a", None)}, {"a": found("a")})
    assert checks.known()["a"].well is True
    checks.turn({"a": container("a", None)}, {"a": found("a", "exited")})
    assert checks.known() == {}
