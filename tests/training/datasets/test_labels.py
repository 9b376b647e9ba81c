import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.training.datasets.labels import MAX_LINES, Row, format_labels, parse_labels

share = st.floats(0, 1)
boxes = st.tuples(share, share, share, share)
polygons = st.lists(st.tuples(share, share), min_size=3, max_size=9).map(lambda ps: tuple(v for p in ps for v in p))
rows = st.lists(st.builds(Row, st.integers(0, 9999), st.one_of(boxes, polygons)))


@given(rows)
def test_law_what_is_written_reads_back(given_rows: list[Row]) -> None:
    assert parse_labels(format_labels(given_rows)) == (given_rows, [])


@given(st.one_of(st.binary(), st.text().map(str.encode), st.text("0123456789.-e \n_naif").map(str.encode)))
def test_law_any_bytes_give_rows_within_bounds_and_problems(data: bytes) -> None:
    good, problems = parse_labels(data, 3)
    assert all(0 <= row.cls < 3 and all(0 <= v <= 1 for v in row.coords) for row in good)
    assert all(problem.line >= 1 and problem.words for problem in problems)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.1", "4 columns"),
        ("0 0.5 0.5 0.1 0.1 0.9", "6 columns"),
        ("0 0.5 0.5 nan 0.1", "width is nan, which is not a number"),
        ("0 0.5 0.5 inf 0.1", "not a number"),
        ("0 0.5 0,5 0.1 0.1", "y_center is 0,5, which is not a number"),
        ("0 1_0 0.5 0.1 0.1", "not a number"),
        ("0 320 0.5 0.1 0.1", "x_center is 320; it must be within 0 to 1"),
        ("-1 0.5 0.5 0.1 0.1", "the class is -1"),
        ("1.5 0.5 0.5 0.1 0.1", "whole number"),
        ("3 0.5 0.5 0.1 0.1", "there are names for 0 to 2"),
        ("cat 0.5 0.5 0.1 0.1", "the class is cat"),
        ("0 .1 .1 .2 .2 .3 -0.5", "y of point 3 is -0.5"),
    ],
)
def test_problems_in_words(line: str, words: str) -> None:
    good, (problem,) = parse_labels(f"\n{line}\n".encode(), 3)
    assert good == []
    assert problem.line == 2
    assert words in problem.words


def test_rounding_is_clipped_and_a_byte_order_mark_ignored() -> None:
    assert parse_labels(b"\xef\xbb\xbf1.0 1.0000002 -0.0001 0.5 0.5") == ([Row(1, (1.0, 0.0, 0.5, 0.5))], [])


def test_too_many_lines() -> None:
    good, (problem,) = parse_labels(b"x\n" * (MAX_LINES + 1))
    assert good == []
    assert "lines" in problem.words
