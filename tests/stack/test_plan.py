"""What has to change, from what is there and what is declared. Pure."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack.plan import HIDDEN, SHOWN_CHARACTERS, TOLD, Plan, differences, make_plan, refuse_foreign
from cvatd.stack.podman import Found
from cvatd.stack.render import render
from cvatd.stack.spec import INIT_CONTAINER, Container, Health, Mount, Publish, Stack

STACK = render(StackSettings())
IMAGE_IDS: dict[str, str | None] = {c.image: f"id of {c.image}" for c in STACK.containers}
REDIS = STACK.container("cvat-redis")


def found(container: Container, **changes: Any) -> Found:
    as_made = Found(
        id="1" * 64,
        name=container.name,
        state="running",
        image=container.image,
        image_id=f"id of {container.image}",
        pid=7,
        exit_code=0,
        started_at=1000.0,
        exited_at=0.0,
        spec=container.model_dump_json(),
        ours=True,
        systemd_unit=None,
    )
    return replace(as_made, **changes)


def running(*changed: Found) -> dict[str, Found]:
    return {c.name: found(c) for c in STACK.containers} | {one.name: one for one in changed}


def planned(there: dict[str, Found], image_ids: dict[str, str | None] = IMAGE_IDS, has_network: bool = True) -> Plan:
    return make_plan(STACK, there, image_ids, has_network)


def test_nothing_to_do_where_all_runs_as_declared() -> None:
    plan = planned(running())
    assert plan.empty
    assert {change.container: change.action for change in plan.changes} == dict.fromkeys(STACK.names, "keep")
    assert not any(change.restarts for change in plan.changes)


def test_an_empty_host_gets_all_in_the_order_of_their_needs() -> None:
    plan = planned({}, dict.fromkeys(IMAGE_IDS), has_network=False)
    assert not plan.empty
    assert plan.make_network
    assert [(change.container, change.action) for change in plan.changes] == [(n, "create") for n in STACK.names]
    seen: set[str] = set()
    for change in plan.changes:
        assert set(STACK.container(change.container).needs) <= seen
        seen.add(change.container)


def test_an_image_that_several_use_is_pulled_once() -> None:
    server = STACK.container("cvat-server").image
    plan = planned(running(), IMAGE_IDS | {server: None})
    assert plan.pull == [server]
    assert not plan.empty


def test_a_network_that_went_away_alone_is_something_to_do() -> None:
    assert not planned(running(), has_network=False).empty


@pytest.mark.parametrize("state", ["exited", "created", "stopped", "paused", "initialized"])
def test_what_does_not_run_is_started(state: str) -> None:
    change = next(c for c in planned(running(found(REDIS, state=state, exit_code=137))).changes if c.action != "keep")
    assert (change.container, change.action) == (REDIS.name, "start")
    assert change.reasons == [f"is {state} (status 137)"]


def test_what_does_not_run_and_is_declared_otherwise_is_replaced() -> None:
    old = REDIS.model_copy(update={"command": ["redis-server"]})
    assert planned(running(found(old, state="exited"))).action(REDIS.name) == "replace"


def test_an_image_of_the_same_name_and_another_content_replaces_those_that_run_the_old() -> None:
    plan = planned(running(), IMAGE_IDS | {REDIS.image: "another"})
    changed = [change for change in plan.changes if change.action != "keep"]
    assert [(c.container, c.action, c.restarts) for c in changed] == [(REDIS.name, "replace", True)]
    assert "another one now" in changed[0].reasons[0]


def test_what_is_declared_no_more_is_removed_first() -> None:
    old = REDIS.model_copy(update={"name": "cvat-worker-old"})
    plan = planned(running(found(old)))
    assert (plan.changes[0].container, plan.changes[0].action) == ("cvat-worker-old", "remove")
    assert plan.changes[0].restarts
    assert plan.action("cvat-worker-old") == "remove"


def test_neither_other_peoples_containers_nor_an_init_at_work_are_removed() -> None:
    other = found(REDIS.model_copy(update={"name": "somebodys"}), ours=False)
    init = found(REDIS.model_copy(update={"name": INIT_CONTAINER}))
    plan = planned(running(other, init))
    assert plan.empty
    with pytest.raises(KeyError):
        plan.action("somebodys")


OTHERWISE: dict[str, Any] = {
    "image": "docker.io/other:1",
    "command": ["other"],
    "environment": {"OTHER": "1"},
    "secrets": ["other"],
    "mounts": [Mount(source="/other", target="/other")],
    "aliases": ["other"],
    "publish": [Publish(host="127.0.0.1", host_port=1, port=1)],
    "init": True,
    "stop_s": 99.0,
    "stop_signal": "SIGQUIT",
    "memory_max": 1 << 30,
    "dns_options": ["timeout:9"],
    "made_with": {"nginx.conf": "other"},
}
UNTOLD: dict[str, Any] = {
    "needs": ["cvat-db"],
    "health": Health(exec=["true"]),
    "initialised": True,
    "queues": ["import"],
    "processes": 3,
}


def test_every_field_of_a_container_is_either_told_to_podman_or_ours_alone() -> None:
    assert set(TOLD) == OTHERWISE.keys()
    assert set(TOLD) | UNTOLD.keys() | {"name"} == Container.model_fields.keys()


@given(st.sets(st.sampled_from(sorted(OTHERWISE.keys() | UNTOLD.keys()))))
def test_a_container_is_made_anew_exactly_when_podman_would_be_told_otherwise(changed: set[str]) -> None:
    new = REDIS.model_copy(update={key: (OTHERWISE | UNTOLD)[key] for key in changed})
    reasons = differences(REDIS.model_dump_json(), new)
    assert bool(reasons) == bool(changed & OTHERWISE.keys())
    for key in changed & OTHERWISE.keys():
        assert any(reason.startswith("nginx.conf" if key == "made_with" else key) for reason in reasons)


@pytest.mark.parametrize("spec", [None, "", "{", "no JSON"])
def test_what_cannot_be_compared_is_made_anew(spec: str | None) -> None:
    assert differences(spec, REDIS) == ["was made by another version of cvatd"]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_a_label_of_any_json_is_survived(spec: Any) -> None:
    assert differences(json.dumps(spec), REDIS)


def test_each_reason_says_what_was_and_what_will_be() -> None:
    old = REDIS.model_copy(update={"memory_max": 1 << 20, "environment": {"A": "1", "B": "2"}})
    new = REDIS.model_copy(update={"environment": {"A": "1", "B": "3"}})
    assert differences(old.model_dump_json(), new) == ["environment.B: 2 → 3", "memory_max: 1048576 → null"]


@pytest.mark.parametrize("word", HIDDEN)
def test_no_secret_is_shown(word: str) -> None:
    name = f"MY_{word.lower()}_X"
    old = REDIS.model_copy(update={"environment": {name: "hunter2"}})
    new = REDIS.model_copy(update={"environment": {name: "hunter3"}})
    assert differences(old.model_dump_json(), new) == [f"environment.{name} changed"]


SECRET = 'hunter "2", ä'


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("environment.LOGIN", {"environment": {"LOGIN": SECRET}}),
        ("environment.FAR", {"environment": {"FAR": "x" * SHOWN_CHARACTERS + SECRET}}),
        ("command", {"command": ["serve", f"--requirepass={SECRET}"]}),
    ],
)
def test_a_secret_is_not_shown_whatever_its_variable_is_called(what: str, changes: dict[str, Any]) -> None:
    new = REDIS.model_copy(update=changes)
    for before, after in ((REDIS, new), (new, REDIS)):
        said = differences(before.model_dump_json(), after, [SECRET, ""])
        assert said == [f"{what} changed"]


def test_a_url_with_a_password_is_not_shown_although_nobody_here_knows_it() -> None:
    new = REDIS.model_copy(update={"environment": {"BROKER": "amqps://me:whatever@host/x", "HOME_PAGE": "http://a/b"}})
    assert differences(REDIS.model_dump_json(), new) == [
        "environment.BROKER changed",
        "environment.HOME_PAGE: null → http://a/b",
    ]


@given(st.text(min_size=1), st.text(min_size=1))
def test_long_values_are_cut(before: str, after: str) -> None:
    old = REDIS.model_copy(update={"environment": {"A": before * 100}})
    new = REDIS.model_copy(update={"environment": {"A": after * 100}})
    for reason in differences(old.model_dump_json(), new):
        assert len(reason) <= len("environment.A:  → ") + 2 * SHOWN_CHARACTERS


def test_a_foreign_container_of_one_of_our_names_is_refused_with_what_to_do() -> None:
    refuse_foreign(STACK, running())
    with pytest.raises(CvatdError, match=r"podman rename cvat-redis cvat-redis-old") as refused:
        refuse_foreign(STACK, running(found(REDIS, ours=False, image="docker.io/theirs:2")))
    assert refused.value.code == "foreign"
    assert "docker.io/theirs:2" in refused.value.message
    init = found(REDIS.model_copy(update={"name": INIT_CONTAINER}), ours=False)
    with pytest.raises(CvatdError, match=INIT_CONTAINER):
        refuse_foreign(STACK, running(init))


def test_what_systemd_runs_is_left_to_systemd() -> None:
    theirs = found(REDIS, ours=False, systemd_unit="podman-cvat-redis.service")
    with pytest.raises(CvatdError, match=r"podman-cvat-redis.service.*systemctl"):
        refuse_foreign(STACK, running(theirs))


def test_foreign_containers_of_other_names_are_nobodys_business() -> None:
    refuse_foreign(STACK, running(found(REDIS.model_copy(update={"name": "somebodys"}), ours=False)))


def test_the_stack_of_these_tests_has_something_to_order() -> None:
    assert isinstance(STACK, Stack)
    assert any(container.needs for container in STACK.containers)
