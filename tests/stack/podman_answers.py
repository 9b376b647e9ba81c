"""A real HTTP server on a Unix socket that answers as Podman does, also as no Podman under test can be made to."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.serving import running

Answer = Callable[[BaseHTTPRequestHandler], None]
"""Writes the answer to this request."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False  # a request may hang by design


@contextmanager
def serving(folder: Path, answers: dict[str, Answer | list[Answer]]) -> Iterator[str]:
    """Yields its address. `answers` maps "GET /end-of-the-path" to an answer, or to one for each time it is asked."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = f"{self.command} {self.path.partition('?')[0].partition('/libpod')[2]}"
            with lock:
                answer = answers.get(asked, say(404, {"message": f"nobody expected {asked}"}))
                if isinstance(answer, list):
                    answer = answer.pop(0)
            answer(self)

        do_GET = do_POST = do_DELETE = _answer

        def address_string(self) -> str:
            return "socket"

        def log_message(self, *_: Any) -> None:
            return

    socket = folder / "podman.sock"
    with running(_Server(str(socket), Handler)):
        yield f"unix://{socket}"


def say(status: int, body: object) -> Answer:
    """JSON, or bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return answer


def begin_and_hang(released: threading.Event, content: bytes = b"") -> Answer:
    """The head of an answer, some of it, and then nothing."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(content)
        request.wfile.flush()
        released.wait(20)

    return answer


def hang_up(request: BaseHTTPRequestHandler) -> None:
    """As a service that is killed: the connection closes without an answer."""
    request.close_connection = True
