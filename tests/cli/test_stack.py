"""The words of `plan`, the rows of `up` and `ps`, and short names. Pure."""

import io
import json
import os
import re
import sys
import time

import pytest
from rich.console import Console

from cvatd.cli.board import Board, table, watch
from cvatd.cli.output import short_image
from cvatd.cli.plan_words import plan_json, plan_lines, summary
from cvatd.cli.ps import Seen, row, row_json
from cvatd.cli.stack import full_name
from cvatd.core.errors import CvatdError
from cvatd.stack.health import Answer
from cvatd.stack.plan import Change, Plan
from cvatd.stack.podman import Found
from tests.e2e.cvat.terminal import Terminal

NAMES = ["cvat-db", "cvat-server", "cvat-worker-low", "mailer"]
IMAGE = "docker.io/cvat/server:v2.80.0"


def found(name: str = "cvat-db", state: str = "running", exit_code: int = 0) -> Found:
    return Found("1" * 64, name, state, IMAGE, "2" * 64, 7, exit_code, 1000.0, 1060.0, "{}", True, None)


def test_a_plan_with_nothing_to_do_has_no_lines() -> None:
    plan = Plan([Change("cvat-db", "keep")], [], False)
    assert plan_lines(plan) == []
    assert plan_json(plan)["empty"] is True


def test_a_plan_says_what_and_why() -> None:
    plan = Plan(
        [
            Change("old", "remove", ["is declared no more"]),
            Change("cvat-db", "keep"),
            Change("cvat-server", "replace", ["environment.A: 1 → 2", "stop_s: 10 → 20"]),
            Change("cvat-ui", "start", ["is exited (status 1)"]),
            Change("cvat-opa", "create", ["is not there"]),
        ],
        [IMAGE],
        False,
    )
    lines = plan_lines(plan)
    assert lines == [
        "  pull       docker.io/cvat/server:v2.80.0 is not on this host",
        "  remove     old                  is declared no more",
        "  make anew  cvat-server          environment.A: 1 → 2",
        "                                  stop_s: 10 → 20",
        "  make       cvat-opa             is not there",
        "  start      cvat-ui              is exited (status 1)",
        "  keep       1 container          run as declared",
    ]
    assert summary(plan) == "Stopped for it: old, cvat-server."
    assert [change["action"] for change in plan_json(plan)["changes"]] == [
        "remove",
        "keep",
        "replace",
        "start",
        "create",
    ]


def test_the_first_up_names_all_containers_in_few_lines() -> None:
    names = ["cvat-db", "cvat-redis", "cvat-kvrocks", "cvat-opa", "cvat-ui"]
    lines = plan_lines(Plan([Change(name, "create", ["is not there"]) for name in names], [], True))
    assert lines[0].split() == ["make", "the", "network", "is", "not", "there"]
    assert lines[1:] == ["  make       cvat-db, cvat-redis, cvat-kvrocks, cvat-opa", "             cvat-ui"]
    assert all(len(line) <= 100 for line in lines)


def test_hostile_reasons_are_harmless() -> None:
    plan = Plan([Change("cvat-ui", "replace", ["environment.A: \x1b[2J → \n x"])], [], False)
    assert "\x1b" not in "".join(plan_lines(plan))
    assert len(plan_lines(plan)) == 1


def test_an_image_moves_the_rows_of_all_that_wait_for_it() -> None:
    board = Board(["cvat-server", "cvat-worker-low", "cvat-db"], {IMAGE: ["cvat-server", "cvat-worker-low"]})
    assert board.tell(IMAGE, "pulling", "") == [(IMAGE, "pulling", "")]
    assert board.tell(IMAGE, "pulling", "Copying blob sha256:1") == []
    assert board.tell(IMAGE, "pulling", "attempt 2 of 3: refused") != []
    states = {name: (state, detail) for name, state, detail, _ in board.snapshot()}
    assert states["cvat-worker-low"] == ("pulling", "attempt 2 of 3: refused")
    assert states["cvat-db"] == ("", "")


def test_a_detail_is_amended_only_while_its_state_lasts() -> None:
    board = Board(["init"])
    board.tell("init", "working", "")
    board.amend("init", "working", "Applying\x1b[2J")
    assert board.snapshot()[0][1:3] == ("working", "Applying\\x1b[2J")
    board.tell("init", "done", "")
    board.amend("init", "working", "Applying")
    board.amend("other", "working", "x")
    assert [row[:3] for row in board.snapshot()] == [("init", "done", "")]


def test_the_same_again_is_no_change() -> None:
    board = Board(["cvat-db"])
    assert board.tell("cvat-db", "starting", "") == [("cvat-db", "starting", "")]
    assert board.tell("cvat-db", "starting", "") == []


def test_time_runs_from_the_first_work_to_the_end() -> None:
    board = Board(["a", "b"])
    assert {seconds for *_, seconds in board.snapshot()} == {None}
    board.tell("b", "unchanged", "")
    board.tell("a", "starting", "")
    board.tell("a", "healthy", "")
    rows = {name: seconds for name, _, _, seconds in board.snapshot()}
    time.sleep(0.02)
    assert rows["b"] is None
    assert rows["a"] is not None
    assert {name: seconds for name, _, _, seconds in board.snapshot()} == rows


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_fits(width: int) -> None:
    board = Board(["cvat-server", "cvat-worker-default"])
    board.tell("cvat-server", "pulling", "Copying blob sha256:" + "a" * 200)
    board.tell("cvat-worker-default", "waiting", "[bold]for init[/bold]")
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(table(board))
    lines = out.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    assert re.search("cvat-worker-default +waiting", out.getvalue())
    assert "[bold]for init[/bold]" in out.getvalue()


def test_in_a_pipe_each_change_is_a_line() -> None:
    out = io.StringIO()

    def work(tell: object) -> int:
        assert callable(tell)
        tell("cvat-db", "starting", "")
        tell("cvat-db", "waiting", "for \x1b[2J")
        return 7

    assert watch(Board(["cvat-db"]), work, lambda _: "", out) == 7
    assert out.getvalue() == "cvat-db\tstarting\ncvat-db\twaiting\tfor \\x1b[2J\n"


def test_the_error_of_the_work_is_the_callers() -> None:
    def work(_: object) -> None:
        raise CvatdError("port", "taken")

    with pytest.raises(CvatdError, match="taken"):
        watch(Board([]), work, lambda _: "", io.StringIO())


WATCHES = """
import threading
from cvatd.cli.board import Board, watch
watch(Board(["cvat-db"]), lambda tell: threading.Event().wait(), lambda board: "left as it is")
"""


def test_sigterm_gives_the_terminal_its_cursor_back() -> None:
    with Terminal([sys.executable, "-c", WATCHES], os.environ) as terminal:
        terminal.expect("\x1b[?25l", 30)
        terminal.expect("cvat-db", 30)
        terminal.process.terminate()
        terminal.expect("\x1b[?25h", 30)
        terminal.expect("left as it is", 30)
        assert terminal.wait(30) == 143


def test_rows_of_ps() -> None:
    well = Seen("cvat-db", IMAGE, found(), Answer(True))
    assert row(well, now=1125.0) == ["cvat-db", "running", "healthy", "2 min 5 s", "cvat/server:v2.80.0"]
    ended = Seen("cvat-db", IMAGE, found(state="exited", exit_code=137), None)
    assert row(ended, now=1125.0)[1:4] == ["exited (137)", "", "1 min 5 s"]
    assert row(Seen("cvat-db", IMAGE, None, None))[1:4] == ["not there", "", ""]
    assert row_json(Seen("cvat-db", IMAGE, None, None))["state"] == "absent"
    assert json.dumps(row_json(well))


def test_long_images_keep_their_ends() -> None:
    assert short_image("docker.io/library/redis:7") == "redis:7"
    long = short_image("registry.example.org/" + "a" * 60 + ":v1")
    assert long.startswith("…")
    assert long.endswith(":v1")
    assert len(long) == 42


def test_short_names() -> None:
    assert full_name("server", NAMES) == "cvat-server"
    assert full_name("cvat-server", NAMES) == "cvat-server"
    assert full_name("mailer", NAMES) == "mailer"
    with pytest.raises(CvatdError, match="cvat-db, cvat-server"):
        full_name("sever", NAMES)
