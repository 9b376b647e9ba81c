"""Asking over a Unix socket, against real sockets that answer well, badly, slowly and not at all."""

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cvatd.core import local_socket
from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings

PATIENCE_S = 30
Answering = Callable[[socket.socket], None]
Serve = Callable[[Answering], Path]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of a short path: a socket's name has a bound."""
    with tempfile.TemporaryDirectory(prefix="cvatd-") as made:
        yield Path(made)


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """Answers one caller with the given function, in a thread that ends with the test."""
    threads, sockets = [], []

    def start(answering: Answering) -> Path:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sockets.append(listener)
        listener.settimeout(PATIENCE_S)
        listener.bind(str(folder / "socket"))
        listener.listen(1)

        def one() -> None:
            with contextlib.suppress(OSError):
                caller, _ = listener.accept()
                with caller:
                    caller.settimeout(PATIENCE_S)
                    answering(caller)

        thread = threading.Thread(target=one, daemon=True)
        threads.append(thread)
        thread.start()
        return folder / "socket"

    yield start
    for listener in sockets:
        listener.shutdown(socket.SHUT_RDWR)  # wakes one whom nobody called
        listener.close()
    for thread in threads:
        thread.join(PATIENCE_S)


def answer(status: str, body: bytes) -> Answering:
    def answering(caller: socket.socket) -> None:
        request = caller.recv(4096).decode()
        assert request.startswith("GET /status HTTP/1.1\r\n")
        caller.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return answering


def refused(file: Path, timeout_s: float = PATIENCE_S) -> CvatdError:
    with pytest.raises(CvatdError) as caught:
        local_socket.get(file, "/status", timeout_s)
    return caught.value


def test_an_answer_is_json(serve: Serve) -> None:
    value = {"ready": True, "words": "schön" * 100_000}
    assert local_socket.get(serve(answer("200 OK", json.dumps(value).encode())), "/status") == value


def test_the_daemons_refusal_keeps_its_code(serve: Serve) -> None:
    body = {"code": "podman", "message": "There is no Podman socket."}
    error = refused(serve(answer("503 Service Unavailable", json.dumps(body).encode())))
    assert (error.code, error.message) == ("podman", "There is no Podman socket.")


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"code": 1, "message": []}', b"null"])
def test_a_refusal_without_words_names_its_status(serve: Serve, body: bytes) -> None:
    error = refused(serve(answer("500 Internal Server Error", body)))
    assert error.code == "unreachable"
    assert "status 500" in error.message


def test_no_daemon(folder: Path) -> None:
    error = refused(folder / "none")
    assert error.code == "unreachable"
    assert "does not run" in error.message
    assert "cvatd daemon" in error.message


def test_a_daemon_that_was_killed(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "left"))
    assert "has ended" in refused(folder / "left").message


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to be refused")
def test_no_permission(folder: Path, serve: Serve) -> None:
    file = serve(answer("200 OK", b"{}"))
    folder.chmod(0o755)
    file.chmod(0o600)
    os.seteuid(65534)
    try:
        error = refused(file)
    finally:
        os.seteuid(0)
    assert error.code == "unreachable"
    assert "No permission" in error.message
    assert "sudo" in error.message


def test_the_whole_time_is_bounded_also_for_one_that_sends_a_byte_now_and_then(serve: Serve) -> None:
    def dripping(caller: socket.socket) -> None:
        caller.recv(4096)
        with contextlib.suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000:
                caller.sendall(bytes([byte]))
                time.sleep(0.02)

    began = time.monotonic()
    error = refused(serve(dripping), timeout_s=0.3)
    assert "did not answer within 0.3 s" in error.message
    assert time.monotonic() - began < PATIENCE_S


def test_one_that_accepts_and_says_nothing(serve: Serve) -> None:
    over = threading.Event()
    error = refused(serve(lambda caller: over.wait(PATIENCE_S) and None), timeout_s=0.1)
    over.set()
    assert "did not answer" in error.message


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n{}",
        b"\xff" * 100_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
    ],
)
def test_what_is_not_the_daemon_is_said_so(serve: Serve, sent: bytes) -> None:
    def answering(caller: socket.socket) -> None:
        caller.recv(4096)
        caller.sendall(sent)

    error = refused(serve(answering))
    assert error.code == "unreachable"
    assert "is not the daemon" in error.message


def test_an_endless_answer_is_cut(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_socket, "MAX_ANSWER_BYTES", 1 << 20)

    def endless(caller: socket.socket) -> None:
        caller.recv(4096)
        with contextlib.suppress(OSError):
            caller.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                caller.sendall(b" " * 65536)

    assert "more than 1 MB" in refused(serve(endless)).message


@pytest.mark.parametrize("value", ["run/daemon.sock", "/" + "x" * 100])
def test_a_socket_that_cannot_be_is_no_setting(value: str) -> None:
    with pytest.raises(ValueError, match="absolute path of at most 100 bytes"):
        StackSettings(socket=Path(value))
