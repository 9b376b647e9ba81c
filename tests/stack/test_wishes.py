"""What the operator asked for last, kept through restarts and unreadable files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.core.settings import StackSettings
from cvatd.stack import wishes
from cvatd.stack.wishes import Wishes


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    (tmp_path / "cvat" / "state").mkdir(parents=True)
    return StackSettings(data_dir=tmp_path / "cvat")


def test_before_the_first_up_nothing_is_wanted(settings: StackSettings, tmp_path: Path) -> None:
    assert wishes.read(settings) == Wishes()
    assert not Wishes().wants("cvat-db")
    wishes.set_down(StackSettings(data_dir=tmp_path / "never" / "made"))
    assert not (tmp_path / "never").exists()


def test_what_was_stopped_by_hand_stays_stopped_until_it_is_started_or_all_are(settings: StackSettings) -> None:
    wishes.set_up(settings)
    wishes.stopped(settings, "cvat-ui")
    wishes.stopped(settings, "cvat-opa")
    wishes.stopped(settings, "cvat-ui")
    assert wishes.read(settings) == Wishes(up=True, stopped=frozenset({"cvat-ui", "cvat-opa"}))
    wishes.wanted(settings, ["cvat-ui", "cvat-db"])
    assert not wishes.read(settings).wants("cvat-opa")
    assert wishes.read(settings).wants("cvat-ui")
    assert wishes.read(settings).wants("cvat-db")
    wishes.set_up(settings)
    assert wishes.read(settings).stopped == frozenset()


def test_of_a_stack_that_is_down_nothing_is_wanted(settings: StackSettings) -> None:
    wishes.set_up(settings)
    wishes.set_down(settings)
    assert not wishes.read(settings).wants("cvat-db")
    wishes.wanted(settings, ["cvat-db"])
    assert not wishes.read(settings).up


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"up": true}', '{"up": true, "stopped": 7}', "7"])
def test_a_file_that_says_nothing_is_no_wish(settings: StackSettings, content: str) -> None:
    """What cannot be read starts nothing."""
    (settings.data_dir / "state" / "wishes.json").write_text(content)
    assert wishes.read(settings) == Wishes()


def test_a_file_that_is_no_text_is_no_wish(settings: StackSettings) -> None:
    (settings.data_dir / "state" / "wishes.json").write_bytes(b"\xff\xfe\x00")
    assert wishes.read(settings) == Wishes()


@given(up=st.booleans(), stopped=st.frozensets(st.sampled_from(["a", "b", "c"])), name=st.sampled_from(["a", "b", "d"]))
def test_a_container_is_wanted_when_all_are_and_nobody_stopped_it(up: bool, stopped: frozenset[str], name: str) -> None:
    assert Wishes(up, stopped).wants(name) == (up and name not in stopped)
