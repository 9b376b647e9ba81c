"""What the daemon makes of what it sees: Podman's list, events, systemd's words, its own memory."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack.daemon import look, memory, systemd
from cvatd.stack.daemon.checks import Checked
from cvatd.stack.daemon.decide import History, Seen
from cvatd.stack.daemon.ends import Notice, Span
from cvatd.stack.daemon.follow import parse
from cvatd.stack.daemon.memory import Memory
from cvatd.stack.podman import Found
from cvatd.stack.render import render
from cvatd.stack.wishes import Wishes

NAME = "cvat-redis"
STACK = render(StackSettings())
LIFE = ("1" * 64, 1000.0)


def found(state: str = "running", started_at: float = 1000.0, spec: str | None = None, code: int = 0) -> Found:
    return Found("1" * 64, NAME, state, "i", "2" * 64, 7, code, started_at, 1060.0, spec, True, None)


def seen(there: Found | None, checked: Checked | None = None, lacking: str = "", told: tuple[str, ...] = ()) -> Seen:
    made = look.sight(
        {NAME: STACK.container(NAME)},
        {NAME: there} if there else {},
        {NAME: checked} if checked else {},
        {NAME: lacking} if lacking else {},
        {} if there else {NAME: 1200.0},
        {NAME: [Notice(1100.0 + place, NAME, action) for place, action in enumerate(told)]},
        [],
        {},
        {},
        Wishes(up=True),
        False,
    )
    return made.containers[0]


def test_what_runs() -> None:
    assert (seen(found()).state, seen(found()).well) == ("running", None)
    assert seen(found(), Checked(LIFE, well=True)).well is True
    unwell = seen(found(), Checked(LIFE, well=False, words="no answer"))
    assert (unwell.well, unwell.words) == (False, "no answer")


def test_one_whose_workers_are_not_there_is_unwell() -> None:
    lacking = seen(found(), Checked(LIFE, well=True), "0 of 1 workers listen to chunks")
    assert (lacking.well, lacking.words) == (False, "0 of 1 workers listen to chunks")


def test_what_ended() -> None:
    ended = seen(found("exited", code=137), told=("died", "cleanup"))
    assert (ended.state, ended.words) == ("exited", "ended by itself with status 137")
    assert ended.ended_by is None
    assert ended.since == 1101.0
    assert seen(found("exited"), told=("died", "cleanup", "cleanup")).ended_by == "stopped by hand"
    gone = seen(None, told=("remove",))
    assert (gone.ended_by, gone.since) == ("removed by hand", 1200.0)


def test_what_ran_before_a_restart_of_the_host_has_ended() -> None:
    assert seen(found("created")).state == "exited"
    assert seen(found("created", started_at=-62135596800)).state == "created"


def test_the_time_before_its_unit_is_active_does_not_count_against_a_container() -> None:
    """The list of containers is older than what systemd says: on a busy host a start may fall between the two."""
    units = {"slow": "slow.service"}
    since: dict[str, float] = {}
    for now, state in ((0.0, "inactive"), (10.0, "activating"), (300.0, "active"), (305.0, "active")):
        since = look.missed(since, ["slow", "free"], units, {"slow.service": state}, now)
    assert since == {"slow": 300.0, "free": 0.0}
    assert look.missed(since, ["slow"], units, {"slow.service": "deactivating"}, 306.0) == {}
    assert look.missed(since, [], units, {"slow.service": "active"}, 307.0) == {}


def test_what_runs_counts_and_not_what_the_settings_say_now() -> None:
    made = STACK.container(NAME).model_copy(update={"stop_s": 99.0})
    assert look.declared({NAME: found(spec=made.model_dump_json())}, STACK)[NAME].stop_s == 99
    for spec in (None, "{}", "[", json.dumps({"name": NAME})):
        assert look.declared({NAME: found(spec=spec)}, STACK)[NAME] == STACK.container(NAME)
    assert set(look.declared({}, STACK)) == set(STACK.names)


def event(**attributes: str) -> dict[str, object]:
    return {"Type": "container", "Action": "died", "timeNano": 5_500_000_000, "Actor": {"Attributes": attributes}}


def test_events_of_ours_alone() -> None:
    assert parse(event(name=NAME, **{"cvatd.stack": "n"})) == Notice(5.5, NAME, "died")
    assert parse(event(name=NAME, PODMAN_SYSTEMD_UNIT="u")) == Notice(5.5, NAME, "died")
    assert parse(event(name=NAME)) is None


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(st.dictionaries(st.sampled_from(["Actor", "timeNano", "Action"]), JSON))
def test_no_event_ends_the_following(strange: dict[str, object]) -> None:
    assert parse(strange) is None


def test_systemds_words() -> None:
    text = "ActiveState=failed\nId=a.service\n\nId=b.service\nActiveState=active\n\nnonsense\n"
    assert systemd.parse(text) == {"a.service": "failed", "b.service": "active"}
    assert systemd.parse("") == {}
    assert systemd.states([]) == {}


def test_systemd_is_asked_with_words_that_start_nothing_a_person_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, asked = tmp_path / "systemctl", tmp_path / "asked"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {asked}\n[ "$1" != start ] || {{ echo "no such unit" >&2; exit 5; }}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    systemd.ask("restart", "a.service")
    with pytest.raises(CvatdError, match="no such unit"):
        systemd.ask("start", "b.service")
    lines = asked.read_text().splitlines()
    assert lines == [
        "reset-failed -- a.service",
        "try-restart -- a.service",
        "reset-failed -- b.service",
        "start -- b.service",
    ]
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert systemd.states(["a.service"]) == {}
    with pytest.raises(CvatdError, match="was not done"):
        systemd.ask("restart", "a.service")


def test_memory_survives(tmp_path: Path) -> None:
    settings = StackSettings(data_dir=tmp_path / "cvat")
    memory.write(settings, Memory())  # nothing was ever prepared: nothing is made
    assert not settings.data_dir.exists()
    (settings.data_dir / "state").mkdir(parents=True)
    kept = Memory({NAME: History((1.0, 2.0), 2, None, True)}, 3.0, {NAME: "a.service"})
    memory.write(settings, kept)
    assert memory.read(settings) == kept
    assert memory.read(settings).lost(9.0) == [Span(3.0, 9.0)]
    assert Memory().lost(9.0) == []


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"histories": 1}', '{"histories": {"a": {"restarts": "x"}}, "acting_since": null, "units": {}}'],
)
def test_memory_that_cannot_be_read_is_forgotten(content: str, tmp_path: Path) -> None:
    (tmp_path / "cvat" / "state").mkdir(parents=True)
    (tmp_path / "cvat" / "state" / "daemon.json").write_text(content)
    assert memory.read(StackSettings(data_dir=tmp_path / "cvat")) == Memory()
