"""Bodies both ways: large, slow, in pieces, never kept on the way; websockets, and no other upgrade."""

import contextlib
import hashlib
import http.client
import re
import socket
import struct
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.stack.proxy.conftest import Site
from tests.stack.proxy.servers import BOUND_S, PIECE, Handler, running

GB = 1 << 30
MB = 1 << 20
# What may lie in the buffers of four sockets and of nginx, whatever the kernel grants.
BUFFERS_BYTES = 40 * MB


def headers(path: str, method: str = "PATCH", **more: object) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: cvat.lan", *(f"{k.replace('_', '-')}: {v}" for k, v in more.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def answer_of(connection: socket.socket) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response


def temporary_files(site: Site) -> list[Path]:
    return [path for path in site.proxy.folder.glob("nginx-*/**/*") if path.is_file()]


class Event:
    """Set by one side, awaited by the other, never for ever."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.set = self._event.set

    def wait(self) -> None:
        assert self._event.wait(BOUND_S), "the other side never came so far"


# Uploads


@pytest.mark.parametrize("path", ["/api/tasks/1/data/x", "/x"])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_first_bytes_arrive_before_the_last_are_sent(site: Site, path: str, chunked: bool) -> None:
    first, got = Event(), []

    def answer(handler: Handler) -> None:
        for piece in handler.pieces():
            got.append(piece)
            first.set()
        handler.reply(200)

    site.server.answer = site.ui.answer = answer
    length = {"Transfer_Encoding": "chunked"} if chunked else {"Content_Length": 10}
    with site.proxy.socket() as client:
        client.sendall(headers(path, **length) + (b"5\r\nfirst\r\n" if chunked else b"first"))
        first.wait()
        assert b"".join(got) == b"first"
        client.sendall(b"4\r\nlast\r\n1\r\n!\r\n0\r\n\r\n" if chunked else b"last!")
        assert answer_of(client).status == HTTPStatus.OK
    assert b"".join(got) == b"firstlast!"


def test_a_receiver_that_does_not_read_holds_its_sender(site: Site) -> None:
    """Nothing piles up on the way, neither in memory nor on the disk; and then all arrives whole."""
    go, digest = Event(), hashlib.sha256()

    def answer(handler: Handler) -> None:
        go.wait()
        for piece in handler.pieces():
            digest.update(piece)
        handler.reply(200)

    site.server.answer = answer
    piece, count = bytes(range(256)) * (PIECE // 256), 96 * MB // PIECE
    with site.proxy.socket() as client:
        client.sendall(headers("/api/tasks/1/data", Content_Length=count * PIECE))
        client.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < count * PIECE:
                sent += client.send(piece[sent % PIECE :])
        assert sent < BUFFERS_BYTES
        assert not temporary_files(site)
        go.set()
        client.settimeout(BOUND_S)
        while sent < count * PIECE:
            sent += client.send(piece[sent % PIECE :])
        assert answer_of(client).status == HTTPStatus.OK
    assert digest.digest() == hashlib.sha256(piece * count).digest()


def test_a_body_of_1_gb_passes_and_one_byte_more_does_not(site: Site) -> None:
    """In chunks, where nobody says beforehand how long it will be."""
    got = [0]

    def answer(handler: Handler) -> None:
        for piece in handler.pieces():
            got[0] += len(piece)
        handler.reply(200)

    site.server.answer = answer
    chunk = b"%x\r\n" % MB + bytes(MB) + b"\r\n"
    for more, status in ((b"", HTTPStatus.OK), (b"1\r\nx\r\n", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)):
        got[0] = 0
        with site.proxy.socket() as client:
            client.sendall(headers("/api/tasks/1/data", Transfer_Encoding="chunked"))
            for _ in range(GB // MB):
                client.sendall(chunk)
            client.sendall(more + b"0\r\n\r\n")
            assert answer_of(client).status == status
    assert not temporary_files(site)


def test_the_length_that_is_announced_decides_at_once(site: Site) -> None:
    with site.proxy.socket() as client:
        client.sendall(headers("/api/tasks/1/data", Content_Length=GB + 1) + b"x")
        response = answer_of(client)
        assert response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        assert response.headers["Content-Type"] == "application/json"
        assert b"1 GB at most" in response.read()
    assert not site.server.requests
    begun = Event()
    site.server.answer = lambda handler: begun.set()
    with site.proxy.socket() as client:
        client.sendall(headers("/api/tasks/1/data", Content_Length=GB) + b"x")
        begun.wait()


def test_a_refusal_in_the_middle_of_an_upload_arrives(site: Site) -> None:
    """CVAT says 401 before it has read what follows; as nginx within CVAT does, it reads on until the sender heard."""

    def answer(handler: Handler) -> None:
        handler.reply(401, b"who are you?")
        handler.wfile.flush()
        with contextlib.suppress(OSError):
            for _ in handler.pieces():
                pass

    site.server.answer = answer
    with site.proxy.socket() as client:
        client.sendall(headers("/api/tasks/1/data", Content_Length=64 * MB) + bytes(PIECE))
        response = answer_of(client)
        assert (response.status, response.read()) == (401, b"who are you?")


def test_an_upload_by_tus(site: Site) -> None:
    """POST makes it, HEAD says how far it is, PATCH goes on there: all headers pass, and Location as CVAT wrote it."""
    stored = bytearray()

    def answer(handler: Handler) -> None:
        if handler.command == "POST":
            for _ in handler.pieces():
                pass
            where = f"{handler.headers['X-Forwarded-Proto']}://{handler.headers['X-Forwarded-Host']}{handler.path}7"
            meta = handler.headers["Upload-Metadata"]
            assert (meta, handler.headers["Upload-Start"]) == ("filename YS5qcGc=", "")
            handler.reply(201, Location=where, Tus_Resumable="1.0.0", Upload_Length=handler.headers["Upload-Length"])
        elif handler.command == "HEAD":
            handler.reply(200, Upload_Offset=str(len(stored)), Cache_Control="no-store")
        else:
            assert int(handler.headers["Upload-Offset"]) == len(stored)
            assert handler.headers["Content-Type"] == "application/offset+octet-stream"
            for piece in handler.pieces():
                stored.extend(piece)
            handler.reply(204, Upload_Offset=str(len(stored)), Tus_Resumable="1.0.0")

    site.server.answer = answer
    outside = {"Host": "cvat.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "8443"}
    made, _ = site.proxy.ask(
        "/api/tasks/1/data/",
        "POST",
        headers=outside
        | {
            "Upload-Length": str(3 * MB),
            "Upload-Metadata": "filename YS5qcGc=",
            "Upload-Start": "",
            "Content-Length": "0",
        },
    )
    assert (made.status, made.headers["Location"]) == (201, "https://cvat.example.org:8443/api/tasks/1/data/7")
    assert made.headers["Upload-Length"] == str(3 * MB)
    part = bytes(range(256)) * (MB // 256)
    for offset in range(0, 3 * MB, MB):
        head, _ = site.proxy.ask("/api/tasks/1/data/7", "HEAD")
        assert head.headers["Upload-Offset"] == str(offset)
        sent = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        patched, _ = site.proxy.ask("/api/tasks/1/data/7", "PATCH", part, sent)
        assert (patched.status, patched.headers["Upload-Offset"]) == (204, str(offset + MB))
    assert bytes(stored) == part * 3


@pytest.mark.parametrize("location", ["http://cvat-server:8080/api/x", "/api/x", "https://elsewhere.example/x"])
def test_location_is_left_alone(site: Site, location: str) -> None:
    site.server.answer = lambda handler: handler.reply(302, Location=location)
    assert site.proxy.ask("/api/x")[0].headers["Location"] == location


# Downloads


@pytest.mark.parametrize("chunked", [False, True])
def test_a_download_arrives_as_it_is_made(site: Site, chunked: bool) -> None:
    """Also what follows on a line that stays open, such as progress."""
    heard = Event()

    def answer(handler: Handler) -> None:
        handler.send_response_only(200)
        handler.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "10")))
        handler.end_headers()
        handler.wfile.write(b"5\r\nfirst\r\n" if chunked else b"first")
        handler.wfile.flush()
        heard.wait()
        handler.wfile.write(b"5\r\nlast!\r\n0\r\n\r\n" if chunked else b"last!")

    site.server.answer = answer
    connection = site.proxy.connect()
    with contextlib.closing(connection):
        connection.request("GET", "/api/events")
        response = connection.getresponse()
        assert response.read(5) == b"first"
        heard.set()
        assert response.read() == b"last!"


@pytest.mark.parametrize("path", ["/api/tasks/1/dataset", "/static/x.js", "/assets/x.js"])
def test_a_reader_that_does_not_read_holds_the_download(site: Site, path: str) -> None:
    written = [0]
    piece, count = bytes(range(256)) * (PIECE // 256), 96 * MB // PIECE
    stalled = Event()

    def answer(handler: Handler) -> None:
        handler.send_response_only(200)
        handler.send_header("Content-Length", str(count * PIECE))
        handler.end_headers()
        handler.connection.settimeout(0.5)
        try:
            while written[0] < count * PIECE:
                written[0] += handler.connection.send(piece[written[0] % PIECE :])
        except TimeoutError:
            stalled.set()
        handler.connection.settimeout(BOUND_S)
        while written[0] < count * PIECE:
            written[0] += handler.connection.send(piece[written[0] % PIECE :])

    site.server.answer = site.ui.answer = answer
    with site.proxy.socket() as client:
        client.sendall(headers(path, "GET"))
        stalled.wait()
        assert written[0] < BUFFERS_BYTES
        assert not temporary_files(site)
        assert hashlib.sha256(answer_of(client).read()).digest() == hashlib.sha256(piece * count).digest()


def test_a_long_download_and_a_long_upload_are_not_cut() -> None:
    """Every bound of the configuration is one second here; both take longer, piece by piece."""
    pause_s, pieces = 0.3, 6

    def drip() -> Iterator[bytes]:
        for number in range(pieces):
            threading.Event().wait(pause_s)
            yield b"%d" % number

    def answer(handler: Handler) -> None:
        body = b"".join(handler.pieces())
        handler.send_response_only(200)
        handler.send_header("Content-Length", str(pieces + len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        for piece in drip():
            handler.wfile.write(piece)
            handler.wfile.flush()

    with running(lambda text: re.sub(r"(_timeout) \d+s;", r"\1 1s;", text)) as proxy:
        proxy.add("cvat-server").answer = answer
        assert "proxy_read_timeout 1s;" in proxy.conf.read_text()
        with proxy.socket() as client:
            client.sendall(headers("/api/x", Content_Length=pieces))
            for piece in drip():
                client.sendall(piece)
            assert answer_of(client).read() == b"012345012345"


def test_cvat_may_think_for_an_hour() -> None:
    """The bound itself cannot be waited for; that it is in force in the place that counts can be read."""
    with running() as proxy:
        api = proxy.conf.read_text().partition("location ~ ^/api/ {")[2].partition("}")[0]
    for line in ("proxy_buffering off;", "proxy_read_timeout 3600s;", "proxy_send_timeout 3600s;"):
        assert line in api


def test_half_a_download_is_not_a_whole_one(site: Site) -> None:
    """When CVAT dies in the middle the reader learns of it."""

    def answer(handler: Handler) -> None:
        handler.send_response_only(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"5\r\nfirst\r\n")

    site.server.answer = answer
    connection = site.proxy.connect()
    with contextlib.closing(connection):
        connection.request("GET", "/api/x")
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()


def test_a_range_passes(site: Site) -> None:
    def answer(handler: Handler) -> None:
        assert handler.headers["Range"] == "bytes=5-"
        handler.reply(206, b"rest", Content_Range="bytes 5-8/9", Content_Disposition="attachment; filename=x.zip")

    site.server.answer = answer
    response, body = site.proxy.ask("/api/x", headers={"Range": "bytes=5-"})
    assert (response.status, body, response.headers["Content-Range"]) == (206, b"rest", "bytes 5-8/9")


# Upgrades


def test_a_websocket_passes_both_ways(site: Site) -> None:
    def answer(handler: Handler) -> None:
        assert handler.headers["Upgrade"] == "websocket"
        assert handler.headers["Connection"].lower() == "upgrade"
        handler.send_response_only(101)
        handler.send_header("Upgrade", "websocket")
        handler.send_header("Connection", "upgrade")
        handler.end_headers()
        while piece := handler.connection.recv(PIECE):
            handler.connection.sendall(piece[::-1])

    site.server.answer = answer
    with site.proxy.socket() as client:
        client.sendall(headers("/api/ws", "GET", Upgrade="WebSocket", Connection="keep-alive, Upgrade"))
        response = answer_of(client)
        assert (response.status, response.headers["Upgrade"]) == (101, "websocket")
        for word in (b"abc", b"defg"):
            client.sendall(word)
            got = b""
            while len(got) < len(word):
                got += client.recv(PIECE)
            assert got == word[::-1]


@pytest.mark.parametrize("upgrade", ["h2c", "websocket, h2c", "h2c, websocket", "websocketx", "TLS/1.0"])
def test_no_other_upgrade_passes(site: Site, upgrade: str) -> None:
    """h2c would be a tunnel past the rules of this proxy."""
    sent = {"Upgrade": upgrade, "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    seen = site.proxy.seen("/api/x", headers=sent)
    assert seen.value("Upgrade") is None
    assert seen.value("Connection") == "close"


def test_a_client_that_resets_does_not_disturb_the_next(site: Site) -> None:
    for _ in range(5):
        client = site.proxy.socket()
        client.sendall(headers("/api/x", Content_Length=MB) + b"x")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert site.proxy.seen("/api/x").who == "cvat-server"
