"""How a line of a log is shown."""

import json

import pytest

from cvatd.cli.logs import Writer
from cvatd.stack.container_logs import Line

NAMES = ["cvat-db", "cvat-server"]
HOSTILE = Line(7, "cvat-db", "\x1b[2J\x1b[31mred\x1b[0m \x07 a\u202eb")


def test_names_stand_in_one_column() -> None:
    writer = Writer(NAMES, prefixed=True, as_json=False, colour=False)
    assert writer.shown(Line(1, "cvat-db", "ready")) == "cvat-db     | ready"
    assert writer.shown(Line(1, "cvat-server", "ready")) == "cvat-server | ready"
    assert Writer(NAMES, prefixed=False, as_json=False, colour=False).shown(Line(1, "cvat-db", "ready")) == "ready"


@pytest.mark.parametrize("colour", [True, False])
def test_hostile_lines_move_no_terminal(colour: bool) -> None:
    shown = Writer(NAMES, prefixed=True, as_json=False, colour=colour).shown(HOSTILE)
    text = shown.partition("| ")[2] if not colour else shown.partition("\x1b[0m ")[2]
    assert text == "\\x1b[2Jred \\x07 a\\u202eb"


def test_json_keeps_all_and_is_harmless_too() -> None:
    shown = Writer(NAMES, prefixed=True, as_json=True, colour=True).shown(HOSTILE)
    assert json.loads(shown) == {"container": "cvat-db", "time_ns": 7, "text": HOSTILE.text}
    assert shown.isascii()
    assert shown.isprintable()


def test_a_container_of_another_kind_has_a_colour_too() -> None:
    assert "mailer" in Writer(NAMES, prefixed=True, as_json=False, colour=True).shown(Line(1, "mailer", "x"))
