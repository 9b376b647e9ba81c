"""Curves: whatever the figures, the lines stay in their box."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from cvatd.web.chart import BOTTOM, HEIGHT, LABEL_GAP, LEFT, RIGHT, TOP, WIDTH, Series, draw, epoch_ticks, ticks

values = st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=40)


@given(st.lists(values, min_size=1, max_size=4))
def test_points_stay_in_the_box(columns: list[list[float | None]]) -> None:
    chart = draw("t", [Series(str(n), "train", column) for n, column in enumerate(columns)])
    finite = [v for column in columns for v in column if v is not None and math.isfinite(v)]
    if not finite:
        assert chart is None
        return
    assert chart is not None
    dots = [dot for line in chart.lines for dot in line.dots]
    assert len(dots) == len(finite)
    for dot in dots:
        assert LEFT <= dot.x <= WIDTH - RIGHT
        assert TOP - 0.01 <= dot.y <= HEIGHT - BOTTOM + 0.01
    labels = sorted(line.label_y for line in chart.lines)
    assert all(b - a >= LABEL_GAP - 0.05 for a, b in itertools.pairwise(labels))


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12))
def test_ticks_are_round_rise_and_cover(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert found == sorted(set(found))
    assert 2 <= len(found) <= 12
    slack = 1e-6 * max(abs(low), span)
    assert found[0] <= low + slack
    assert found[-1] >= low + span - slack


@given(st.integers(1, 10_000))
def test_epoch_ticks_begin_and_end_with_the_run(epochs: int) -> None:
    found = epoch_ticks(epochs)
    assert found[0] == 1
    assert found[-1] == epochs
    assert found == sorted(set(found))
    assert len(found) <= 13


def test_a_gap_parts_a_line() -> None:
    chart = draw("t", [Series("a", "train", [1, 2, None, 3])])
    assert chart is not None
    assert len(chart.lines[0].paths) == 2


def test_a_fixed_top_is_kept() -> None:
    chart = draw("t", [Series("mAP50", "m1", [0.2, 0.4])], top_value=1.0)
    assert chart is not None
    assert [label for _, label in chart.y_ticks][-1] == "1"
