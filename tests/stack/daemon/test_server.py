"""The Unix socket, with callers that are well-behaved, slow, huge, many and wrong."""

import contextlib
import json
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cvatd.core import local_socket
from cvatd.core.errors import CvatdError
from cvatd.stack.daemon import server as server_module
from cvatd.stack.daemon.server import MOST_CALLERS, Page, Server, json_page

PATIENCE_S = 30


@pytest.fixture
def file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cvatd-") as folder:
        yield Path(folder) / "run" / "daemon.sock"


class Open:
    """A server with a page that waits until it is let go."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.go_on = threading.Event()
        self.waiting = threading.Semaphore(0)
        pages = {"/status": lambda: json_page({"ready": True}), "/slow": self._slow, "/away": _away, "/broken": _broken}
        self.server = Server(file, pages)
        self.server.start()

    def _slow(self) -> Page:
        self.waiting.release()
        self.go_on.wait(PATIENCE_S)
        return json_page({})


def _away() -> Page:
    raise CvatdError("podman", "There is no Podman socket.")


def _broken() -> Page:
    raise KeyError("a fault of ours")


@pytest.fixture
def opened(file: Path) -> Iterator[Open]:
    made = Open(file)
    yield made
    made.go_on.set()
    made.server.close()


def call(file: Path, sent: bytes) -> bytes:
    """All that comes back; sends no more than that."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(PATIENCE_S)
        caller.connect(str(file))
        caller.sendall(sent)
        received = b""
        # So ends what was not read to its end.
        with contextlib.suppress(ConnectionResetError):
            while chunk := caller.recv(65536):
                received += chunk
        return received


def test_it_answers_the_client_of_the_command_line(opened: Open) -> None:
    assert local_socket.get(opened.file, "/status") == {"ready": True}
    assert local_socket.get(opened.file, "/status?fresh=1") == {"ready": True}


def test_only_root_and_its_group_may_ask(opened: Open) -> None:
    assert stat.S_IMODE(opened.file.stat().st_mode) == 0o660


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/away", "podman", "There is no Podman socket."),
        ("/broken", "internal", "its log says how"),
        ("/nothing", "unknown", "/status"),
    ],
)
def test_a_fault_comes_in_words(opened: Open, path: str, code: str, words: str) -> None:
    with pytest.raises(CvatdError) as caught:
        local_socket.get(opened.file, path)
    assert caught.value.code == code
    assert words in caught.value.message
    assert local_socket.get(opened.file, "/status") == {"ready": True}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /status HTTP/1.1\r\n\r\n", 405),
        (b"\r\n\r\n", 400),
        (b"GET /status\r\n\r\n", 400),
        (b"GET status HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01" + b"\0" * 100 + b"\r\n\r\n", 400),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", 413),
        (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", 404),
    ],
)
def test_what_is_wrong_is_refused(opened: Open, sent: bytes, status: int) -> None:
    head, _, body = call(opened.file, sent).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["message"]


def test_the_head_alone(opened: Open) -> None:
    answer = call(opened.file, b"HEAD /status HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")


def test_who_says_nothing_is_let_go(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_S", 0.2)
    assert b" 408 " in call(opened.file, b"GET /status HT")


def test_many_at_once_are_refused_and_the_others_served(opened: Open) -> None:
    request = b"GET /slow HTTP/1.1\r\n\r\n"
    callers = []
    try:
        for _ in range(MOST_CALLERS):
            caller = socket.socket(socket.AF_UNIX)
            callers.append(caller)
            caller.settimeout(PATIENCE_S)
            caller.connect(str(opened.file))
            caller.sendall(request)
        for _ in range(MOST_CALLERS):
            assert opened.waiting.acquire(timeout=PATIENCE_S)
        with pytest.raises(CvatdError) as caught:
            local_socket.get(opened.file, "/status")
        assert caught.value.code == "busy"
        opened.go_on.set()
        for caller in callers:
            assert b" 200 OK" in caller.recv(4096)
    finally:
        for caller in callers:
            caller.close()
    assert ask_until_free(opened.file) == {"ready": True}


def ask_until_free(file: Path) -> object:
    for _ in range(100):
        try:
            return local_socket.get(file, "/status")
        except CvatdError as error:
            assert error.code == "busy"  # noqa: PT017
    raise AssertionError("places were not given back")


def test_who_goes_away_harms_nobody(opened: Open) -> None:
    for _ in range(3 * MOST_CALLERS):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(PATIENCE_S)
            caller.connect(str(opened.file))
            caller.sendall(b"GET /status HTTP/1.1\r\n")
    assert ask_until_free(opened.file) == {"ready": True}


def test_a_file_that_a_killed_daemon_left_is_replaced(file: Path) -> None:
    file.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(file))
    server = Server(file, {"/status": lambda: json_page(1)})
    server.start()
    try:
        assert local_socket.get(file, "/status") == 1
    finally:
        server.close()
    assert not file.exists()
    assert list(file.parent.iterdir()) == []


def test_a_living_one_is_not_pushed_aside(opened: Open) -> None:
    with pytest.raises(CvatdError, match="Another daemon answers") as caught:
        Server(opened.file, {})
    assert caught.value.code == "busy"
    assert local_socket.get(opened.file, "/status") == {"ready": True}


def test_a_file_that_is_no_socket_is_not_removed(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("precious")
    with pytest.raises(CvatdError, match=r"no socket|cannot be made"):
        Server(file, {})
    assert file.read_text() == "precious"


def test_anothers_socket_is_not_taken_away(opened: Open) -> None:
    opened.file.unlink()
    other = Server(opened.file, {"/status": lambda: json_page(2)})
    other.start()
    try:
        opened.server.close()
        assert local_socket.get(opened.file, "/status") == 2
    finally:
        other.close()


def test_a_folder_that_cannot_be_made(file: Path) -> None:
    file.parent.write_text("a file where the folder should be")
    with pytest.raises(CvatdError, match=r"stack\.socket"):
        Server(file, {})
