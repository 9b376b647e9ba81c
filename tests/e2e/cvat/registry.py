"""A registry of images on a local port, and ways for it to fail."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.podman_host import PodmanHost
from tests.serving import Handler, running

SAVE_TIMEOUT_S = 60
PIECE_BYTES = 1 << 20


@contextmanager
def serving(host: PodmanHost, folder: Path, **images: str) -> Iterator[None]:
    """`host.registry` has these: repository -> an image of the host that is offered there under every tag."""
    for repository, image in images.items():
        target = folder / repository
        host.run("save", "--quiet", "--format", "docker-dir", "--output", str(target), image, timeout_s=SAVE_TIMEOUT_S)

    class Registry(Handler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = self.path.strip("/").split("/")
            if parts == ["v2"]:
                self.send(200, "application/json", b"{}")
                return
            file = _file(folder, parts)
            if file is None:
                unknown = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
                self.send(404, "application/json", json.dumps(unknown).encode())
                return
            content = file.read_bytes()
            kind = json.loads(content)["mediaType"] if file.name == "manifest.json" else "application/octet-stream"
            self.send(200, kind, content)

        do_HEAD = do_GET

    server = ThreadingHTTPServer(_address(host), Registry)
    server.daemon_threads = True
    with running(server):
        yield


@contextmanager
def hanging(host: PodmanHost) -> Iterator[None]:
    """`host.registry` takes connections and never says a word."""
    with socket.create_server(_address(host)):
        yield


def _address(host: PodmanHost) -> tuple[str, int]:
    name, _, port = host.registry.partition(":")
    return name, int(port)


def _file(folder: Path, parts: list[str]) -> Path | None:
    """v2/<repository>/manifests/<tag or digest> and v2/<repository>/blobs/sha256:<hex>."""
    if len(parts) != 4 or not (folder / parts[1]).is_dir():
        return None
    file = folder / parts[1] / ("manifest.json" if parts[2] == "manifests" else parts[3].removeprefix("sha256:"))
    return file if file.is_file() else None
