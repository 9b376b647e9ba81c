"""Faults of the host and of the settings, met by `cvatd up`: one clear sentence, nothing left half-made."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest

from cvatd.stack import versions
from cvatd.stack.podman import Podman
from tests.e2e.cvat import registry
from tests.e2e.cvat.stand import CVATD, Stand
from tests.podman_host import PodmanHost
from tests.serving import running

pytestmark = pytest.mark.e2e
SOMEBODY = 65534
TIMEOUT_S = 60
BROKEN = {
    "image": "docker.io/library/nginx:1.28-alpine",
    "command": ["sh", "-c", "echo first; echo no such file: model.bin >&2; exit 3"],
}


def refused(stand: Stand, status: int = 1) -> str:
    """What `cvatd up` says when it fails: words, never a traceback."""
    done = stand.cvatd("up", check=False, timeout_s=TIMEOUT_S)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    words = done.stderr[done.stderr.index("cvatd: ") :]
    assert words.strip()
    return words


def test_no_podman(stand: Stand) -> None:
    stand.env["CONTAINER_HOST"] = f"unix://{stand.folder}/podman.sock"
    words = refused(stand)
    assert f"There is no Podman socket at {stand.folder}/podman.sock" in words
    assert "systemctl enable --now podman.socket" in words
    assert not stand.data_dir.exists()


def test_no_permission_on_podmans_socket(stand: Stand) -> None:
    # Another user, who may read all (the tests' Python may lie below /root) and write nothing.
    read_all = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    other = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups", *read_all]
    done = subprocess.run(
        [*other, CVATD, "up"], env=stand.env, capture_output=True, text=True, timeout=TIMEOUT_S, cwd="/"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"No permission on Podman's socket {stand.host.socket}" in done.stderr
    assert "sudo" in done.stderr


class OldPodman(BaseHTTPRequestHandler):
    """What Podman 3.4 (Ubuntu 22.04) says of itself."""

    def do_GET(self) -> None:
        body = {
            "host": {"cgroupManager": "systemd", "cgroupVersion": "v2", "security": {"rootless": False}},
            "store": {"graphRoot": "/var/lib/containers/storage"},
            "version": {"APIVersion": "3.4.4", "Version": "3.4.4"},
        }
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def old_podman(path: Path) -> Iterator[None]:
    server = ThreadingUnixStreamServer(str(path), OldPodman)
    server.daemon_threads = True
    with running(server):
        yield


def test_an_old_podman(stand: Stand) -> None:
    stand.env["CONTAINER_HOST"] = f"unix://{stand.folder}/old.sock"
    with old_podman(stand.folder / "old.sock"):
        words = refused(stand)
    assert words == "cvatd: Podman 3.4.4 is too old: 4.3 or newer is needed.\n"
    assert not stand.data_dir.exists()


@pytest.mark.parametrize(
    ("settings", "key", "why"),
    [
        ({"workers": {"mine": {"queues": ["imports"]}}}, "stack.workers.mine.queues", "has no queue 'imports'"),
        ({"version": "1.7.0"}, "stack.version", "older than any that is known"),
        ({"limits": {"memory_high": 2, "memory_max": 1}}, "stack.limits", "memory_high is above memory_max"),
        ({"memory_max": {"cvat-sever": 1000}}, "stack.memory_max", "there is no container cvat-sever"),
        ({"extra_containers": {"mine": {"image": "x", "needs": ["db"]}}}, "mine", "there is no such container"),
        ({"prot": 8080}, "stack.prot", "there is no such setting"),
    ],
)
def test_a_wrong_spec(stand: Stand, settings: dict[str, object], key: str, why: str) -> None:
    content = json.loads(stand.config.read_text())
    content["stack"] |= settings
    stand.config.write_text(json.dumps(content))
    words = refused(stand, status=2)
    assert key in words
    assert why in words
    assert not stand.data_dir.exists()
    assert stand.containers() == {}


def test_a_database_of_another_major_version(stand: Stand) -> None:
    stand.runner().prepare()
    mark = stand.data_dir / "postgres" / "PG_VERSION"
    mark.write_text("14\n")
    words = refused(stand)
    assert "was made by PostgreSQL 14" in words
    assert "runs PostgreSQL 15" in words
    assert "Dump it with the old image" in words
    assert stand.containers() == {}
    assert [file.name for file in mark.parent.iterdir()] == ["PG_VERSION"]


def test_data_newer_than_the_images(stand: Stand) -> None:
    stand.runner().prepare()
    versions.record_version(stand.settings, "2.80.0")
    stand.configure(version="2.79.0")
    words = refused(stand)
    assert "belong to CVAT 2.80.0 and the images are of 2.79.0" in words
    assert "Set stack.version to 2.80.0" in words
    assert stand.containers() == {}


def test_an_image_that_is_not_to_be_had(stand: Stand, tmp_path: Path) -> None:
    stand.configure(images={"ui": f"{stand.host.registry}/ui:v2.80.0"})
    with registry.serving(stand.host, tmp_path):
        words = refused(stand)
    assert f"The image {stand.host.registry}/ui:v2.80.0 could not be pulled" in words
    assert "manifest unknown" in words
    assert stand.containers() == {}


def test_a_registry_that_hangs(stand: Stand) -> None:
    stand.configure(images={"ui": f"{stand.host.registry}/ui:v2.80.0"}, pull_timeout_s=1)
    with registry.hanging(stand.host):
        words = refused(stand)
    assert "could not be pulled: the registry said nothing for 1 s" in words
    assert stand.containers() == {}


def test_a_disk_that_is_full_while_pulling(stand: Stand, tmp_path: Path) -> None:
    """A Podman whose store is a small file system, in a mount namespace of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=4m disk "$0" && exec "$@"', str(disk)]
    small = PodmanHost("small", mount)
    storage = small.dir / "storage.conf"
    storage.write_text(storage.read_text().replace(str(small.dir / "root"), str(disk)))
    small.environment["CONTAINERS_REGISTRIES_CONF"] = stand.host.environment["CONTAINERS_REGISTRIES_CONF"]
    image = f"{stand.host.registry}/ui:v2.80.0"
    kinds = ("server", "ui", "postgres", "redis", "kvrocks", "opa", "nginx")
    stand.configure(images=dict.fromkeys(kinds, image))
    stand.env["CONTAINER_HOST"] = small.url
    small.start()
    try:
        with registry.serving(stand.host, tmp_path, ui="docker.io/cvat/ui:v2.80.0"), Podman(small.url) as podman:
            words = refused(stand)
            assert f"The disk is full: {image} could not be pulled. Free space and try again." in words
            assert podman.containers() == {}
            assert podman.image_id(image) is None
            remount = ["mount", "-o", "remount,size=200m", "disk", str(disk)]
            subprocess.run(["nsenter", "--target", str(small.pid), "--mount", *remount], check=True, timeout=TIMEOUT_S)
            podman.pull(image, lambda line: None, TIMEOUT_S)
            assert podman.image_id(image)
    finally:
        small.stop()
        shutil.rmtree(small.dir, ignore_errors=True)


def test_each_fault_mended_the_same_command_finishes(stand: Stand, tmp_path: Path) -> None:
    """An image from a registry, a port that is taken, a container that ends at once; then all is well."""
    images = {"ui": f"{stand.host.registry}/ui:v2.80.0"}
    stand.host.run("rmi", "--force", images["ui"], check=False)
    stand.configure(images=images, extra_containers={"broken": BROKEN})
    with registry.serving(stand.host, tmp_path, ui="docker.io/cvat/ui:v2.80.0"):
        with socket.create_server(("127.0.0.1", stand.port)):
            words = refused(stand)
            assert str(stand.port) in words
            assert f"process {os.getpid()}" in words
            assert stand.containers() == {}
        words = refused(stand)
        assert stand.podman.image_id(images["ui"])
        assert "broken ended with status 3" in words
        assert words.index("first") < words.index("no such file: model.bin")
    stand.configure(images=images)
    done = stand.cvatd("up")
    assert f"CVAT is ready at {stand.url}" in done.stdout
    assert "broken" not in stand.containers()
    stand.host.run("rmi", "--force", images["ui"], check=False)
