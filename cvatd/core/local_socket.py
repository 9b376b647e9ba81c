"""Asks the daemon on this host over its Unix socket. Small, since every command that asks pays for its import."""

import contextlib
import http.client
import io
import json
import socket
import time
from pathlib import Path
from typing import Any

from cvatd.core.errors import CvatdError

MAX_ANSWER_BYTES = 16 << 20
CHUNK_BYTES = 64 << 10
START_WORDS = "Start it: systemctl start cvatd, or without systemd: cvatd daemon"


def get(socket_file: Path, path: str, timeout_s: float = 10.0) -> Any:
    """The JSON that a GET of `path` answers with, within `timeout_s` in all.

    Raises CvatdError "unreachable" when nobody answers (no daemon, no permission, too slow, not HTTP), and the
    daemon's own refusal with its own code when it says so.
    """
    try:
        status, body = _ask(str(socket_file), path, timeout_s)
        answer = json.loads(body)
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        raise CvatdError("unreachable", explain(socket_file, error, timeout_s)) from None
    if status == 200:
        return answer
    fault = answer if isinstance(answer, dict) else {}
    code, message = fault.get("code"), fault.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        raise CvatdError("unreachable", f"The daemon at {socket_file} answered {path} with status {status}.")
    raise CvatdError(code, message)


def explain(socket_file: Path, error: Exception, timeout_s: float) -> str:
    """Which of the usual reasons it is, and what to do."""
    if isinstance(error, PermissionError):
        return f"No permission on the daemon's socket {socket_file}: run this as root (sudo)."
    if isinstance(error, FileNotFoundError):
        return f"The daemon does not run: there is no socket at {socket_file}. {START_WORDS}"
    if isinstance(error, ConnectionRefusedError):
        return f"The daemon at {socket_file} has ended. {START_WORDS}"
    if isinstance(error, TimeoutError | BlockingIOError):
        return f"The daemon at {socket_file} did not answer within {timeout_s:g} s. Look at its log, and try again."
    return f"What answers at {socket_file} is not the daemon ({error or type(error).__name__}). Is stack.socket right?"


class _Received(io.BytesIO):
    """What http.client takes for a socket: all that came, so that none of its reads can wait."""

    def makefile(self, *_: object) -> "_Received":
        return self


def _ask(address: str, path: str, timeout_s: float) -> tuple[int, bytes]:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = http.client.HTTPResponse(_Received(_exchange(address, request.encode("ascii"), timeout_s)))  # type: ignore[arg-type]
    answer.begin()
    return answer.status, answer.read()


def _exchange(address: str, request: bytes, timeout_s: float) -> bytes:
    """All that comes until the other side closes. Each wait may only take what is left of the whole time."""
    deadline = time.monotonic() + timeout_s
    received = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(address)
        with contextlib.suppress(BrokenPipeError):  # it may answer that it is too busy to listen
            connection.sendall(request)
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            connection.settimeout(left_s)
            try:
                chunk = connection.recv(CHUNK_BYTES)
            except ConnectionResetError:
                chunk = b""  # so ends an answer to a request that was not read
            if not chunk:
                return bytes(received)
            received += chunk
            if len(received) > MAX_ANSWER_BYTES:
                raise ValueError(f"more than {MAX_ANSWER_BYTES >> 20} MB")
