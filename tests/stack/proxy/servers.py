"""A real nginx with the stack's own configuration, between real clients and small upstream servers on loopback."""

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from cvatd.core.settings import StackSettings
from cvatd.stack import layout, render

BOUND_S = 20.0
START_S = 10.0
PIECE = 64 << 10
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class Seen:
    """A request as an upstream got it; header names as they were written, in order."""

    who: str
    method: str
    path: str
    headers: list[tuple[str, str]]
    body_bytes: int

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """None when it is not there; the test fails on a header that is there twice."""
        values = self.values(name)
        assert len(values) < 2, (name, values)
        return values[0] if values else None


class Handler(BaseHTTPRequestHandler):
    """Reads the whole body and tells what it saw, unless the test has other wishes."""

    protocol_version = "HTTP/1.1"
    timeout = BOUND_S
    server: "Upstream"

    def handle_one_request(self) -> None:
        # A client that goes away in the middle is what some tests do.
        with contextlib.suppress(OSError):
            super().handle_one_request()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def parse_request(self) -> bool:
        """One way in for every method."""
        parsed = super().parse_request()
        if parsed:
            self.close_connection = True
            self.server.answer(self)
            self.wfile.flush()
        return False

    def pieces(self) -> Iterator[bytes]:
        """The body as it arrives."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read1(min(left, PIECE))
            if not piece:
                return
            left -= len(piece)
            yield piece

    def seen(self) -> Seen:
        return Seen(self.server.who, self.command, self.path, self.headers.items(), sum(map(len, self.pieces())))

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


Answer = Callable[[Handler], None]


def echo(handler: Handler) -> None:
    seen = handler.seen()
    handler.server.requests.append(seen)
    handler.reply(200, json.dumps(seen.__dict__).encode(), Content_Type="application/json")


class Upstream(ThreadingHTTPServer):
    """What stands for CVAT's server or its UI."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, who: str, address: tuple[str, int]) -> None:
        self.who = who
        self.answer: Answer = echo
        self.requests: list[Seen] = []
        super().__init__(address, Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(BOUND_S)


class NameServer:
    """Answers A questions from a table, and says that all other names are unknown."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def close(self) -> None:
        self._stop.set()
        self._thread.join(BOUND_S)
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                question, client = self._socket.recvfrom(512)
                self._socket.sendto(self._answer(question), client)

    def _answer(self, question: bytes) -> bytes:
        labels, position = [], 12
        while length := question[position]:
            labels.append(question[position + 1 : position + 1 + length].decode())
            position += 1 + length
        asked = question[12 : position + 5]
        address = self.names.get(".".join(labels))
        known = address is not None
        head = question[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, int(known), 0, 0)
        if address is None:
            return head + asked
        return head + asked + b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(address)


class Proxy:
    """nginx as cvat-proxy runs it, but for its ports and the place of its files."""

    def __init__(self, folder: Path, change: Callable[[str], str] = lambda text: text) -> None:
        self.folder = folder
        self.port, self.server_port, self.ui_port = free_ports(3)
        self.dns = NameServer()
        self.upstreams: list[Upstream] = []
        (folder / "resolver.conf").write_text(f"resolver 127.0.0.1:{self.dns.port} valid=1s ipv6=off;\n")
        parameters = layout.proxy_parameters(StackSettings()) | {
            "listen": f"127.0.0.1:{self.port}",
            "server": f"cvat-server:{self.server_port}",
            "ui_port": str(self.ui_port),
        }
        text = render.fill(files("cvatd.stack").joinpath("nginx.conf").read_text(), parameters)
        self.conf = folder / "nginx.conf"
        self.conf.write_text(change(text).replace("/tmp/", f"{folder}/"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert NGINX is not None
        with (self.folder / "log").open("wb") as log:
            command = [NGINX, "-p", str(self.folder), "-c", str(self.conf)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.socket().close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"nginx does not run:\n{self.log}") from None
                time.sleep(0.01)
            else:
                return

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def add(self, who: str, address: str = "127.0.0.1") -> Upstream:
        """Start `cvat-server` or `cvat-ui`, known to the name server."""
        upstream = Upstream(who, (address, self.server_port if who == "cvat-server" else self.ui_port))
        self.upstreams.append(upstream)
        self.dns.names[who] = address
        return upstream

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=BOUND_S)

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=BOUND_S)

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        connection = self.connect()
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response, response.read()

    def seen(self, path: str, method: str = "GET", **request: Any) -> Seen:
        """The request as it reached the upstream."""
        response, body = self.ask(path, method, **request)
        assert response.status == 200, (response.status, body)
        answer = json.loads(body)
        answer["headers"] = [tuple(header) for header in answer["headers"]]
        return Seen(**answer)

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()  # the fast way to stop, connections and all
            try:
                self._process.wait(BOUND_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(BOUND_S)
        for upstream in self.upstreams:
            upstream.close()
        self.dns.close()


def free_ports(count: int) -> list[int]:
    """Different ones, that nobody has at this moment."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def running(change: Callable[[str], str] = lambda text: text) -> Iterator[Proxy]:
    """A proxy with no upstream behind it yet. `change` is made to its configuration."""
    with tempfile.TemporaryDirectory(prefix="cvat-proxy-") as folder:
        Path(folder).chmod(0o711)  # started by root, nginx works as another user
        proxy = Proxy(Path(folder), change)
        try:
            proxy.start()
            yield proxy
        finally:
            proxy.close()
