"""Reset asks by name and says what is lost."""

import io
import sys
from pathlib import Path

import pytest

from cvatd.cli.reset import confirm, done_lines, loss_lines, restore_lines
from cvatd.core.errors import CvatdError
from cvatd.core.settings import DatabaseSettings, StackSettings
from cvatd.stack.disk_usage import Size
from cvatd.stack.reset import Losses

FOLDER = Path("/var/lib/cvat")


def test_what_is_lost_is_named() -> None:
    lost = Losses({"users": 3, "projects": 1, "tasks": 12}, {"data": Size(1_400_000_000), "logs": Size(5000, False)})
    lines = loss_lines(lost, StackSettings())
    assert "/var/lib/cvat" in lines[0]
    assert "3 users, 1 project, 12 tasks" in lines[1]
    assert lines[2].split() == ["data", "1.4", "GB"]
    assert "more than 5 kB" in lines[3]


def test_a_silent_database_is_said() -> None:
    assert "unknown" in loss_lines(Losses({}, {}), StackSettings())[1]


def test_a_database_outside_is_not_touched_and_said() -> None:
    outside = DatabaseSettings(host="db.example.org", password_file=Path("/x"))
    assert any("NOT touched" in line for line in loss_lines(Losses({}, {}), StackSettings(database=outside)))


def test_only_the_folders_own_name_will_do() -> None:
    confirm("/var/lib/cvat", FOLDER, sys.stdout)
    for wrong in ("cvat", "", "yes", "/var/lib/cvat2"):
        with pytest.raises(CvatdError) as refused:
            confirm(wrong, FOLDER, sys.stdout)
        assert refused.value.code == "usage"


def test_the_question_goes_where_the_losses_went(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, shown = io.StringIO("/var/lib/cvat\n"), io.StringIO()
    monkeypatch.setattr(answer, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", answer)
    confirm(None, FOLDER, shown)
    assert shown.getvalue() == "Type /var/lib/cvat to go on: "


def test_the_way_back_is_said() -> None:
    aside = Path("/var/lib/cvat.reset-20261121T120000Z")
    lines = done_lines(aside, restore_lines(FOLDER, aside))
    assert f"  mv {aside} {FOLDER}" in lines
