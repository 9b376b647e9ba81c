"""Frames of Podman's logs, however they are cut; lines with their times."""

from hypothesis import given
from hypothesis import strategies as st

from cvatd.stack.container_logs import FRAME, LONGEST_LINE_BYTES, Line, frames, joined, parse

STAMP = "2026-11-21T12:00:00.5Z "


def framed(parts: list[tuple[int, bytes]]) -> bytes:
    return b"".join(FRAME.pack(stream, len(content)) + content for stream, content in parts)


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=10), st.data())
def test_frames_are_the_same_however_the_bytes_are_cut(parts: list[tuple[int, bytes]], data: st.DataObject) -> None:
    whole = framed(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert list(frames(chunks)) == parts


def test_half_a_frame_at_the_end_is_left_out() -> None:
    assert list(frames([framed([(1, b"whole\n"), (1, b"half")])[:-2]])) == [(1, b"whole\n")]


def test_parts_of_a_long_line_are_one_line_with_the_first_time() -> None:
    parts = [(1, f"{STAMP}aaa".encode()), (2, f"{STAMP}error\n".encode()), (1, f"{STAMP}bbb\n".encode())]
    assert list(joined(parts)) == [f"{STAMP}error", f"{STAMP}aaabbb"]


def test_a_line_without_end_is_bounded() -> None:
    part = (1, STAMP.encode() + b"x" * 16_000)
    lines = list(joined([part] * 40))
    assert len(lines) > 1
    assert all(len(line) <= LONGEST_LINE_BYTES + 17_000 for line in lines)


def test_times_are_nanoseconds_whatever_zeros_go_leaves_out() -> None:
    base = 1_795_262_400
    assert parse("a", "2026-11-21T12:00:00Z x") == Line(base * 10**9, "a", "x")
    assert parse("a", "2026-11-21T12:00:00.5Z x").time_ns == base * 10**9 + 500_000_000
    assert parse("a", "2026-11-21T13:00:00.000000001+01:00 x").time_ns == base * 10**9 + 1


@given(st.text(max_size=100))
def test_nothing_that_is_logged_breaks_the_reading(text: str) -> None:
    assert parse("a", text).container == "a"
    assert parse("a", STAMP + text).text == text
