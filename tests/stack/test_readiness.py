"""Ready or not, and for want of what: from facts to sentences. Pure."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.core.settings import StackSettings
from cvatd.stack.facts import SILENT_WORKER_S, DatabaseFacts, Facts, HttpFacts, RedisFacts, Worker
from cvatd.stack.podman import Found
from cvatd.stack.readiness import (
    InitState,
    init_state,
    lacking_workers,
    not_running,
    why_not_ready,
)
from cvatd.stack.render import render

STACK = render(StackSettings())
IMAGE = "sha256:" + "a" * 64
REQUIRED = {"auth.0001", "engine.0001", "engine.0002"}
DATABASE = DatabaseFacts("15.4", frozenset(REQUIRED), {"admin": "mark"})
REDIS = RedisFacts(mark=IMAGE, workers=[Worker(c.name, c.queues, "idle", 1.0) for c in STACK.containers if c.queues])
HTTP = HttpFacts(200, {"Cache": "working"}, 200)
DONE = InitState("done", "nothing to do")


def found(name: str, state: str = "running", exit_code: int = 0) -> Found:
    return Found("1" * 64, name, state, "docker.io/x:1", IMAGE, 7, exit_code, 1000.0, 0.0, "{}", True, None)


FACTS = Facts({name: found(name) for name in STACK.names}, DATABASE, REDIS, HTTP)


def judged(
    database: DatabaseFacts = DATABASE, redis: RedisFacts = REDIS, required: set[str] | None = REQUIRED
) -> InitState:
    return init_state(database, redis, required, IMAGE, "admin")


# ---- init ----


def test_nothing_to_do_for_an_init_that_was_done() -> None:
    assert judged() == DONE
    assert not judged().needed


def test_more_migrations_than_the_image_knows_are_no_reason() -> None:
    assert judged(replace(DATABASE, migrations=frozenset(REQUIRED | {"plugin.0001"}))) == DONE


@pytest.mark.parametrize(
    ("database", "redis", "required", "words"),
    [
        (DatabaseFacts("15.4"), REDIS, REQUIRED, "the database is empty"),
        (DatabaseFacts("15.4"), RedisFacts(fault="away"), REQUIRED, "the database is empty"),
        (DATABASE, REDIS, None, "not initialised on this host yet"),
        (replace(DATABASE, migrations=frozenset({"auth.0001"})), REDIS, REQUIRED, "2 migrations are not applied"),
        (DATABASE, replace(REDIS, mark=""), REQUIRED, "Redis does not remember"),
        (DATABASE, replace(REDIS, mark="another image"), REQUIRED, "Redis does not remember"),
        (replace(DATABASE, superusers={"root": "x"}), REDIS, REQUIRED, "no superuser 'admin'"),
    ],
)
def test_what_init_has_to_do(database: DatabaseFacts, redis: RedisFacts, required: set[str] | None, words: str) -> None:
    state = judged(database, redis, required)
    assert state.needed
    assert words in state.words


@pytest.mark.parametrize(
    ("database", "redis", "state", "words"),
    [
        (DatabaseFacts(fault="away", words="starting up"), REDIS, "unknown", "starting up"),
        (DATABASE, RedisFacts(fault="LOADING"), "unknown", "LOADING"),
        (DatabaseFacts(fault="no_database", words='"cvat" does not exist'), REDIS, "no_database", "does not exist"),
        (
            DatabaseFacts(fault="refused", words="authentication failed"),
            REDIS,
            "no_database",
            "let CVAT in: authentication",
        ),
    ],
)
def test_what_cannot_be_asked_is_no_reason_to_migrate(
    database: DatabaseFacts, redis: RedisFacts, state: str, words: str
) -> None:
    judgement = judged(database, redis)
    assert judgement.state == state
    assert not judgement.needed
    assert words in judgement.words


@given(st.sets(st.sampled_from([f"app.{number:04}" for number in range(8)])))
def test_init_is_needed_exactly_while_a_migration_is_missing(applied: set[str]) -> None:
    required = {"app.0001", "app.0002", "app.0003", "app.0004"}
    state = judged(replace(DATABASE, migrations=frozenset(applied)), required=required)
    missing = required - applied
    assert state.needed == bool(missing)
    if missing:
        assert state.words.startswith(f"{len(missing)} migrations")
        assert ("…" in state.words) == (len(missing) > 3)
        assert sum(name in state.words for name in missing) == min(3, len(missing))


# ---- workers ----


def test_each_queue_has_its_workers() -> None:
    assert lacking_workers(STACK.containers, REDIS) == {}


def test_without_workers_every_queue_of_the_stack_lacks_them() -> None:
    lacking = lacking_workers(STACK.containers, RedisFacts())
    assert set(lacking) == set(itertools.chain.from_iterable(c.queues for c in STACK.containers))


@given(alive=st.integers(0, 4), dead=st.integers(0, 4), wanted=st.integers(1, 4))
def test_only_workers_that_live_count_and_as_many_as_were_declared_are_needed(
    alive: int, dead: int, wanted: int
) -> None:
    container = STACK.container("cvat-worker-chunks").model_copy(update={"processes": wanted})
    workers = [Worker(container.name, container.queues, "busy", 5.0)] * alive
    workers += [Worker(container.name, container.queues, "idle", SILENT_WORKER_S)] * dead
    lacking = lacking_workers([container], RedisFacts(workers=workers))
    assert set(lacking) == (set(container.queues) if alive < wanted else set())
    for words in lacking.values():
        assert words.startswith(f"{alive} of {wanted} workers of {container.name}")


def test_a_worker_that_was_killed_with_its_container_does_not_count() -> None:
    container = STACK.container("cvat-worker-low")
    redis = RedisFacts(workers=[Worker(container.name, container.queues, "idle", 60.0, gone=True)])
    assert set(lacking_workers([container], redis)) == set(container.queues)


def test_a_worker_of_another_container_does_not_count() -> None:
    container = STACK.container("cvat-worker-low")
    redis = RedisFacts(workers=[Worker("somebody-else", container.queues, "idle", 1.0)])
    assert set(lacking_workers([container], redis)) == set(container.queues)


# ---- all of it ----


def test_ready_is_when_nothing_is_missing() -> None:
    assert why_not_ready(STACK, FACTS, DONE) == []
    assert not_running(STACK, FACTS.found) == []


def test_containers_that_do_not_run_are_named_with_their_state() -> None:
    there = FACTS.found | {"cvat-ui": found("cvat-ui", "exited", 137)}
    del there["cvat-opa"]
    assert sorted(not_running(STACK, there)) == ["cvat-opa is not there", "cvat-ui is exited (status 137)"]


@pytest.mark.parametrize(
    ("facts", "init", "words"),
    [
        (replace(FACTS, found={}), DONE, "cvat-server is not there"),
        (FACTS, InitState("unmigrated", "the database is empty"), "init is needed: the database is empty"),
        (FACTS, InitState("unknown", "the database cannot be asked"), "the database cannot be asked"),
        (replace(FACTS, http=HttpFacts(fault="nobody answers")), DONE, "nobody answers"),
        (replace(FACTS, http=HttpFacts(502, {}, 200)), DONE, "CVAT's health is 502"),
        (replace(FACTS, http=HttpFacts(500, {"A": "working", "B": "93 %"}, 200)), DONE, "health is 500 (B: 93 %)"),
        (replace(FACTS, http=HttpFacts(200, {}, 502)), DONE, "pages answer with 502"),
        (replace(FACTS, redis=RedisFacts(fault="LOADING")), DONE, "the queues cannot be asked: LOADING"),
        (replace(FACTS, redis=RedisFacts()), DONE, "0 of 1 workers of cvat-worker-chunks listen to chunks"),
    ],
)
def test_each_thing_that_is_missing_is_a_sentence(facts: Facts, init: InitState, words: str) -> None:
    assert any(words in reason for reason in why_not_ready(STACK, facts, init))


def test_a_page_that_could_not_be_asked_is_not_called_wrong() -> None:
    reasons = why_not_ready(STACK, replace(FACTS, http=HttpFacts(fault="nobody answers")), DONE)
    assert reasons == ["nobody answers"]
