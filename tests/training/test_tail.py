"""Reading events: whole lines, once each, wherever a write was cut."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cvatd.training.tail import READ_BYTES, read_events

LINES = [json.dumps({"t": 1, "type": f"e{n}", "data": {"n": n}}).encode() + b"\n" for n in range(6)]


@given(st.lists(st.integers(1, 40)))
def test_every_event_is_read_once_however_the_file_grows(steps: list[int]) -> None:
    import tempfile

    whole, seen, offset, end = b"".join(LINES), [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.jsonl"
        for step in [*steps, len(whole)]:
            end = min(end + step, len(whole))
            file.write_bytes(whole[:end])
            for event in read_events(file, offset):
                seen.append(event.type)
                offset = event.end
    assert seen == [f"e{n}" for n in range(6)]
    assert offset == len(whole)


def test_half_a_line_of_a_killed_trainer_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(LINES[0] + b'{"t": 1, "ty\n' + LINES[1])
    assert [event.type for event in read_events(file, 0)] == ["e0", "skipped", "e1"]


def test_a_file_gone_wild_is_read_in_pieces(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"x" * (2 * READ_BYTES + 5) + b"\n" + LINES[0])
    offset, kinds = 0, []
    while events := read_events(file, offset):
        kinds += [event.type for event in events]
        offset = events[-1].end
    assert kinds[-1] == "e0"
    assert set(kinds[:-1]) == {"skipped"}


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.jsonl"
        file.write_bytes(content)
        for event in read_events(file, 0):
            assert 0 < event.end <= len(content)


def test_no_file_is_no_event(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none", 0) == []
