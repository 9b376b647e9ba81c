"""Nothing of what others wrote may be obeyed by a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.core.plain import plain, plain_line


@given(st.text(st.characters(), max_size=200))
def test_no_control_and_no_mark_of_direction_is_left(text: str) -> None:
    left = {c for c in plain(text) if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}}
    assert left <= {"\t", "\n"}
    assert not any(
        unicodedata.bidirectional(c) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI"} for c in plain(text)
    )
    assert "\n" not in plain_line(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=200))
def test_what_is_harmless_stays(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("10 %\r100 %", "10 %\\x0d100 %"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb", "a\\u202eb"),
        ("dos\r\n", "dos\n"),
        ("Größe – 図", "Größe – 図"),
    ],
)
def test_controls_are_shown_as_numbers(hostile: str, shown: str) -> None:
    assert plain(hostile) == shown
