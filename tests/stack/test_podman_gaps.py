"""What podman-py lacks: streams taken apart, attempts and waits that end."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from cvatd.core.errors import CvatdError
from cvatd.stack import podman_gaps
from cvatd.stack.podman import Podman
from tests.stack.podman_answers import Answer, begin_and_hang, hang_up, say, serving

IMAGE = "registry.example/image:1"
CREATED = {"POST /containers/one/exec": say(201, {"Id": "7"})}
SHORT_S = 0.3


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Lets go what hangs at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def frame(of_errors: bool, content: bytes) -> bytes:
    return podman_gaps.FRAME.pack(2 if of_errors else 1, len(content)) + content


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=30))), st.integers(min_value=1, max_value=40))
def test_the_two_streams_are_told_apart_however_they_are_cut(frames: list[tuple[bool, bytes]], cut: int) -> None:
    response = requests.Response()
    whole = b"".join(frame(*one) for one in frames)
    response.raw = io.BytesIO(whole)
    response.iter_content = lambda **_: (whole[i : i + cut] for i in range(0, len(whole), cut))  # type: ignore[method-assign, assignment, misc]
    out, err = podman_gaps._demultiplex(response, float("inf"))
    for of_errors, text in ((False, out), (True, err)):
        expected = b"".join(content for kind, content in frames if kind == of_errors)
        assert text == expected.decode(errors="replace")


def test_a_command_has_its_status_and_both_streams(tmp_path: Path) -> None:
    answers: dict[str, Answer | list[Answer]] = {
        **CREATED,
        "POST /exec/7/start": say(200, frame(False, b"out") + frame(True, b"err")),
        "GET /exec/7/json": say(200, {"ExitCode": 3}),
    }
    with serving(tmp_path, answers) as url, Podman(url) as podman:
        assert podman.execute("one", ["x"]) == podman_gaps.ExecResult(3, "out", "err")


def test_a_command_that_says_nothing_is_given_up(tmp_path: Path, released: threading.Event) -> None:
    answers: dict[str, Answer | list[Answer]] = {**CREATED, "POST /exec/7/start": begin_and_hang(released)}
    with serving(tmp_path, answers) as url, Podman(url) as podman:
        with pytest.raises(CvatdError, match=r"sleep in one did not end within 0 s") as error:
            podman.execute("one", ["sleep"], timeout_s=SHORT_S)
        assert error.value.code == "exec"


def test_a_command_that_says_too_much_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podman_gaps, "EXEC_OUTPUT_BYTES", 1 << 20)
    answers: dict[str, Answer | list[Answer]] = {
        **CREATED,
        "POST /exec/7/start": say(200, frame(False, b"x" * (2 << 20))),
    }
    with serving(tmp_path, answers) as url, Podman(url) as podman, pytest.raises(CvatdError, match="more than 1 MB"):
        podman.execute("one", ["yes"])


@pytest.mark.parametrize("words", [{"message": "container is not running"}, b"container is not running"])
def test_a_container_that_takes_no_commands_says_why(tmp_path: Path, words: object) -> None:
    with serving(tmp_path, {"POST /containers/one/exec": say(409, words)}) as url, Podman(url) as podman:
        with pytest.raises(CvatdError, match="one does not take commands: container is not running") as refused:
            podman.execute("one", ["x"])
        assert refused.value.code == "exec"


def test_a_status_that_podman_forgot_is_an_error_in_words(tmp_path: Path) -> None:
    answers: dict[str, Answer | list[Answer]] = {
        **CREATED,
        "POST /exec/7/start": say(200, b""),
        "GET /exec/7/json": say(404, {"message": "no such exec session"}),
    }
    with serving(tmp_path, answers) as url, Podman(url) as podman, pytest.raises(CvatdError, match="too late"):
        podman.execute("one", ["x"])


@pytest.mark.parametrize("dies_at", ["POST /containers/one/exec", "POST /exec/7/start", "GET /exec/7/json"])
def test_a_podman_that_dies_during_a_command_is_told_in_words(tmp_path: Path, dies_at: str) -> None:
    answers: dict[str, Answer | list[Answer]] = {
        **CREATED,
        "POST /exec/7/start": say(200, b""),
        "GET /exec/7/json": say(200, {"ExitCode": 0}),
        dies_at: hang_up,
    }
    with serving(tmp_path, answers) as url, Podman(url) as podman:
        with pytest.raises(CvatdError, match="nobody answers") as error:
            podman.execute("one", ["x"])
        assert error.value.code == "podman"


@pytest.mark.parametrize("path", ["json", "logs"])
def test_a_podman_that_dies_while_a_container_is_watched_is_told_in_words(tmp_path: Path, path: str) -> None:
    with serving(tmp_path, {f"GET /containers/one/{path}": hang_up}) as url, Podman(url) as podman:
        with pytest.raises(CvatdError) as error:
            podman.wait("one", 5) if path == "json" else podman.logs("one", 3)
        assert error.value.code == "podman"


def test_wait_looks_until_the_end(tmp_path: Path) -> None:
    states = [{"Status": "running"}, {"Status": "running"}, {"Status": "exited", "ExitCode": 4}]
    answers: dict[str, Answer | list[Answer]] = {
        "GET /containers/one/json": [say(200, {"State": state}) for state in states]
    }
    with serving(tmp_path, answers) as url, Podman(url) as podman:
        assert podman.wait("one", 10) == 4


def test_wait_ends_for_one_that_never_does_and_for_one_that_is_removed(tmp_path: Path) -> None:
    answers: dict[str, Answer | list[Answer]] = {
        "GET /containers/one/json": say(200, {"State": {"Status": "running"}}),
    }
    with serving(tmp_path, answers) as url, Podman(url) as podman:
        with pytest.raises(CvatdError) as late:
            podman.wait("one", SHORT_S)
        assert late.value.code == "timeout"
        with pytest.raises(CvatdError, match="removed"):
            podman.wait("other", SHORT_S)


def test_lines_of_a_log_in_order(tmp_path: Path) -> None:
    content = frame(False, b"one\n") + frame(True, b"two\n") + frame(False, b"three")
    with serving(tmp_path, {"GET /containers/one/logs": say(200, content)}) as url, Podman(url) as podman:
        assert podman.logs("one", 3) == "one\ntwo\nthree\n"
        assert podman.logs("none", 3) == ""


class TestPull:
    @pytest.fixture(autouse=True)
    def no_pause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(podman_gaps, "ATTEMPT_PAUSE_S", 0.0)

    def pulled(self, folder: Path, answers: list[Answer], timeout_s: float = 5) -> list[str]:
        """What was said."""
        said: list[str] = []
        with serving(folder, {"POST /images/pull": answers}) as url, Podman(url) as podman:
            podman.pull(IMAGE, said.append, timeout_s)
        assert answers == []
        return said

    def test_progress_is_told(self, tmp_path: Path) -> None:
        assert self.pulled(tmp_path, [say(200, b'{"stream":"Copying blob 1\\n"}\n{"id":"2"}\n')]) == ["Copying blob 1"]

    def test_a_fault_of_the_network_is_tried_again(self, tmp_path: Path) -> None:
        reset = say(200, b'{"error":"connection reset by peer"}\n')
        assert self.pulled(tmp_path, [reset, hang_up, say(200, b"")])[0] == "attempt 2 of 3: connection reset by peer"

    @pytest.mark.parametrize(
        ("fault", "words"),
        [("manifest unknown", "manifest unknown"), ("write: no space left on device", "The disk is full")],
    )
    def test_what_does_not_mend_itself_is_not_tried_again(self, tmp_path: Path, fault: str, words: str) -> None:
        answers = [say(200, f'{{"error":"{fault}"}}\n'.encode()), say(200, b"")]
        with pytest.raises(CvatdError, match=words):
            self.pulled(tmp_path, answers)
        assert len(answers) == 1

    def test_podmans_refusal_is_shown_in_its_own_words(self, tmp_path: Path) -> None:
        refusals = [say(500, {"cause": "x", "message": "invalid reference format"}) for _ in range(3)]
        with pytest.raises(CvatdError, match=r"could not be pulled: invalid reference format$"):
            self.pulled(tmp_path, refusals)

    def test_a_podman_that_says_nothing_at_all_is_given_up(self, tmp_path: Path, released: threading.Event) -> None:
        with pytest.raises(CvatdError, match="said nothing for 0 s"):
            self.pulled(tmp_path, [lambda request: hang_up(request) if released.wait(20) else None] * 3, SHORT_S)

    def test_a_registry_that_hangs_is_given_up(self, tmp_path: Path, released: threading.Event) -> None:
        answers = [begin_and_hang(released, b'{"stream":"Trying"}\n') for _ in range(podman_gaps.ATTEMPTS)]
        with pytest.raises(CvatdError, match="said nothing for 0 s") as error:
            self.pulled(tmp_path, answers, SHORT_S)
        assert error.value.code == "image"
        assert answers == []
