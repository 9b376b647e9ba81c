"""Why a container was killed, and what its own check says."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack.health import SHOWN_CHARACTERS, Answer, killed_for_memory, memory_mark, probe
from cvatd.stack.limits import Usage
from cvatd.stack.podman_gaps import ExecResult
from cvatd.stack.render import render

STACK = render(StackSettings())


def usage(kills: int) -> Usage:
    return Usage(1, 2, 2, 0.0, 100, kills, False)


@pytest.mark.parametrize(
    ("named", "marked", "v2", "mark"),
    [
        (True, False, False, True),
        (True, True, True, True),
        (False, True, True, True),
        (False, True, False, None),  # as every container of the stack is marked when the stack's memory ran out
        (False, False, True, False),
    ],
)
def test_whose_mark_it_is(named: bool, marked: bool, v2: bool, mark: bool | None) -> None:
    assert memory_mark(named, marked, v2) is mark


@pytest.mark.parametrize(
    ("exit_code", "mark", "kills", "killed"),
    [
        (137, False, 1, None),  # the kernel has killed something; whether this, nobody tells
        (137, None, 0, None),
        (137, None, None, None),
        (137, False, 0, False),  # by somebody's hand
        (137, False, None, False),
        (143, False, 1, False),
        (143, None, 1, False),
        (0, False, 3, False),
        (1, True, None, True),
        (137, True, 0, True),
    ],
)
def test_a_kill_is_for_memory_when_the_container_is_marked_so(
    exit_code: int, mark: bool | None, kills: int | None, killed: bool | None
) -> None:
    assert killed_for_memory(exit_code, mark, None if kills is None else usage(kills)) is killed


@dataclass
class Asked:
    """Takes the place of Podman where only the answer matters."""

    answer: Callable[[], ExecResult]
    where: str = ""

    def execute(self, name: str, argv: list[str], timeout_s: float) -> ExecResult:
        self.where = name
        assert argv
        assert timeout_s > 0
        return self.answer()


def said(status: int, out: str = "", err: str = "") -> Asked:
    return Asked(lambda: ExecResult(status, out, err))


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (said(0, "noise", "noise"), Answer(True)),
        (said(2, "out", "no response\n"), Answer(False, "no response")),
        (said(2, "out\n"), Answer(False, "out")),
        (said(7), Answer(False, "its check ended with status 7")),
        (said(1, "", "x" * 1000 + "end"), Answer(False, "x" * (SHOWN_CHARACTERS - 3) + "end")),
    ],
)
def test_what_the_check_says(asked: Asked, answer: Answer) -> None:
    assert probe(asked, STACK.container("cvat-db")) == answer  # type: ignore[arg-type]
    assert asked.where == "cvat-db"


def test_the_check_of_an_image_without_a_shell_is_asked_from_its_neighbour() -> None:
    asked = said(0)
    assert probe(asked, STACK.container("cvat-opa")).well  # type: ignore[arg-type]
    assert asked.where == "cvat-proxy"


def test_a_check_that_cannot_be_asked_is_no_failure_of_the_caller() -> None:
    def refuse() -> ExecResult:
        raise CvatdError("exec", "pg_isready in cvat-db did not end within 10 s.")

    assert probe(Asked(refuse), STACK.container("cvat-db")) == Answer(  # type: ignore[arg-type]
        False, "pg_isready in cvat-db did not end within 10 s."
    )


def test_one_without_a_check_is_well_while_it_runs() -> None:
    worker = STACK.container("cvat-worker-low")
    assert worker.health is None
    asked = said(1)
    assert probe(asked, worker) == Answer(True)  # type: ignore[arg-type]
    assert asked.where == ""
