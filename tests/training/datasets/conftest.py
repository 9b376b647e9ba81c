"""Zips made on the fly, a small real file server, and one call that ingests."""

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from cvatd.core.urlguard import UrlGuard
from cvatd.training.datasets.ingest import Dataset, ingest
from cvatd.training.datasets.limits import DatasetLimits
from cvatd.training.datasets.progress import Stage
from tests.serving import running

BOX = b"0 0.5 0.5 0.25 0.25\n"
Files = dict[str, bytes]


def picture(shade: int = 0, kind: str = "JPEG", size: tuple[int, int] = (32, 24), mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new("L", size, shade % 256).convert(mode).save(out, kind)
    return out.getvalue()


def good_files(train: int = 3, val: int = 2) -> Files:
    files: Files = {}
    for split, count, shade in (("train", train, 0), ("val", val, 100)):
        for i in range(count):
            files[f"images/{split}/{split}{i}.jpg"] = picture(shade + 5 * i)
            files[f"labels/{split}/{split}{i}.txt"] = BOX
    return files


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


@dataclass
class FileServer:
    """Serves `body`; `answers` are handlers that take one request each before that."""

    body: bytes = b""
    etag: str = '"one"'
    port: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    answers: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/data.zip"

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        self.requests.append({key.lower(): value for key, value in request.headers.items()})
        if self.answers:
            self.answers.pop(0)(request)
            return
        have, status, body = self.requests[-1], 200, self.body
        if have.get("if-none-match") == self.etag:
            status, body = 304, b""
        elif have.get("range") and have.get("if-range") == self.etag:
            start = int(have["range"].removeprefix("bytes=").rstrip("-"))
            status, body = 206, self.body[start:]
        self.statuses.append(status)
        request.send_response(status)
        request.send_header("ETag", self.etag)
        request.send_header("Content-Length", str(len(body)))
        if status == 206:
            request.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        request.end_headers()
        request.wfile.write(body)

    def breaks_off(self, after: int) -> Callable[[BaseHTTPRequestHandler], None]:
        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("ETag", self.etag)
            request.send_header("Content-Length", str(len(self.body)))
            request.end_headers()
            request.wfile.write(self.body[:after])

        return answer

    def stalls(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"PK\x03\x04")
        request.wfile.flush()
        self.stalled.wait(20)


def plain_answer(status: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for key, value in headers.items():
            request.send_header(key.replace("_", "-"), value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


@pytest.fixture
def server() -> Iterator[FileServer]:
    files = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.serve(self)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    files.port = server.server_port
    with running(server):
        yield files
        files.stalled.set()


@dataclass
class Bench:
    folder: Path
    limits: DatasetLimits
    stages: list[Stage] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / "run" / "data"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def url(self, files: Files | bytes) -> str:
        path = self.folder / "in" / "data.zip"
        path.write_bytes(files if isinstance(files, bytes) else zipped(files))
        return path.as_uri()

    def ingest(self, url: str, should_stop: Callable[[], bool] = lambda: False, **limits: object) -> Dataset:
        bounds = replace(self.limits, **limits)  # type: ignore[arg-type]
        guard = UrlGuard(["127.0.0.1"])
        return ingest(url, self.data, bounds, guard, self.cache, self.stages.append, should_stop)

    def left_half_done(self) -> list[str]:
        """What a failed preparation must not leave."""
        places = [self.data.parent, self.cache / "building", self.cache / "trees"]
        return [str(path) for place in places if place.exists() for path in place.iterdir()]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("cvatd.training.datasets.fetch.FIRST_PAUSE_S", 0.01)
    for name in ("in", "run"):
        (tmp_path / name).mkdir()
    return Bench(tmp_path, DatasetLimits(file_roots=(tmp_path / "in",), stall_timeout_s=5))
