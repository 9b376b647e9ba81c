import json
import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cvatd.training.trainer.events import EventLog, plain


def test_events_are_lines_in_order(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append("started", {"epochs": 2})
    log.append("batch", {"batch": 1})
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(event["type"], event["data"]) for event in told] == [("started", {"epochs": 2}), ("batch", {"batch": 1})]
    assert all(event["t"] > 1_600_000_000 for event in told)


def test_a_line_cut_at_any_byte_spoils_only_itself(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    EventLog(file).append("epoch", {"epoch": 1, "name": "Häuser"})
    whole = file.read_bytes()
    for cut in range(len(whole) + 1):
        file.write_bytes(whole + whole[:cut])
        EventLog(file).append("epoch", {"epoch": 2})
        lines = [line for line in file.read_bytes().split(b"\n") if line]
        assert lines[0] + b"\n" == whole
        assert json.loads(lines[-1])["data"] == {"epoch": 2}


def test_what_json_cannot_carry_becomes_null(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append("epoch", {"loss": {"a": math.nan, "b": math.inf, "c": 1.5}, "list": [-math.inf]})
    event = json.loads((tmp_path / "events.jsonl").read_text(), parse_constant=lambda word: 1 / 0)
    assert event["data"] == {"loss": {"a": None, "b": None, "c": 1.5}, "list": [None]}


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_plain_values_always_make_strict_json(value: object) -> None:
    json.dumps(plain(value), allow_nan=False)
