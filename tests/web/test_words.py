"""How pages speak."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.training.states import State
from cvatd.web import words

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (100_000, "1 d 3 h"), (None, "–")],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), [(1, "just now"), (59, "59 s ago"), (3700, "1 h ago")])
def test_ago(seconds: float, said: str) -> None:
    assert words.ago(NOW - timedelta(seconds=seconds), NOW) == said


@pytest.mark.parametrize(("count", "said"), [(820, "820 B"), (12_300, "12 kB"), (6.24e6, "6.2 MB"), (1.4e9, "1.4 GB")])
def test_sizes(count: float, said: str) -> None:
    assert words.size(count) == said


@given(st.floats(0, 1e15))
def test_every_size_has_a_unit(count: float) -> None:
    assert words.size(count).split()[1] in {"B", "kB", "MB", "GB"}


def test_every_state_has_a_word_and_a_shape() -> None:
    assert set(words.STATES) == {state.value for state in State}
    shapes = [shape for _, _, shape in words.STATES.values()]
    assert len(set(shapes)) == len(shapes), "colour never speaks alone"
