"""Podman's absence, age and refusals in words; its lists as the types of ours."""

import socket
from pathlib import Path
from typing import Any

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import podman as podman_module
from cvatd.stack.podman import Podman
from cvatd.stack.render import render
from cvatd.stack.spec import SPEC_LABEL, STACK_LABEL
from tests.stack.podman_answers import Answer, hang_up, say, serving

STACK = render(StackSettings())
INFO: dict[str, Any] = {
    "version": {"Version": "4.3.1"},
    "host": {"cgroupManager": "systemd", "cgroupVersion": "v2", "security": {"rootless": False}},
    "store": {"graphRoot": "/var/lib/containers/storage"},
}
CONTAINER: dict[str, Any] = {
    "Id": "abc",
    "Names": ["cvat-db"],
    "State": "exited",
    "Image": "docker.io/library/postgres:15",
    "ImageID": "def",
    "Pid": 0,
    "ExitCode": 137,
    "StartedAt": 1700000000,
    "ExitedAt": 1700000009,
    "Labels": {STACK_LABEL: "cvat-network", SPEC_LABEL: "{}"},
}


def error_of(url: str) -> CvatdError:
    with Podman(url) as podman, pytest.raises(CvatdError) as error:
        podman.host()
    assert error.value.code == "podman"
    return error.value


def test_no_socket_says_what_starts_it(tmp_path: Path) -> None:
    words = error_of(f"unix://{tmp_path}/podman.sock").message
    assert f"There is no Podman socket at {tmp_path}/podman.sock" in words
    assert "podman system service" in words


def test_a_socket_that_nobody_listens_to(tmp_path: Path) -> None:
    path = tmp_path / "podman.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    assert "nobody answers" in error_of(f"unix://{path}").message


def test_a_service_that_hangs_up(tmp_path: Path) -> None:
    with serving(tmp_path, {"GET /info": hang_up}) as url:
        assert "nobody answers" in error_of(url).message


@pytest.mark.parametrize("version", ["3.4.4", "4.2.9"])
def test_an_old_podman_is_refused(tmp_path: Path, version: str) -> None:
    with serving(tmp_path, {"GET /info": say(200, INFO | {"version": {"Version": version}})}) as url:
        assert f"Podman {version} is too old" in error_of(url).message


@pytest.mark.parametrize("version", ["4.3.0", "4.10.1", "5.2.0-dev", "5.8-rhel"])
def test_one_that_is_new_enough(tmp_path: Path, version: str) -> None:
    with (
        serving(tmp_path, {"GET /info": say(200, INFO | {"version": {"Version": version}})}) as url,
        Podman(url) as podman,
    ):
        host = podman.host()
    assert (host.version, host.systemd, host.rootless) == (version, True, False)


def test_containers_by_name(tmp_path: Path) -> None:
    other = {**CONTAINER, "Names": ["web"], "State": "running", "Labels": None, "StartedAt": None, "ExitedAt": None}
    with serving(tmp_path, {"GET /containers/json": say(200, [CONTAINER, other])}) as url, Podman(url) as podman:
        found = podman.containers()
    assert found["cvat-db"].ours
    assert found["cvat-db"].exit_code == 137
    assert not found["cvat-db"].running
    assert found["web"].running
    assert not found["web"].ours
    assert found["web"].spec is None


def test_a_refusal_is_told_in_podmans_own_words(tmp_path: Path) -> None:
    answers: dict[str, Answer | list[Answer]] = {
        "GET /containers/json": say(500, {"message": "database is locked"}),
        "POST /containers/cvat-db/unpause": say(409, {}),
        "POST /containers/cvat-db/start": say(500, {"message": "no such image"}),
    }
    with serving(tmp_path, answers) as url, Podman(url) as podman:
        with pytest.raises(CvatdError, match="database is locked"):
            podman.containers()
        with pytest.raises(CvatdError, match="cvat-db cannot be started: no such image"):
            podman.start("cvat-db")


@pytest.mark.parametrize("nonsense", [b"<html>", b""])
def test_an_answer_that_is_not_podmans_is_no_crash(tmp_path: Path, nonsense: bytes) -> None:
    with serving(tmp_path, {"GET /containers/json": say(200, nonsense)}) as url, Podman(url) as podman:
        with pytest.raises(CvatdError) as refused:
            podman.containers()
        assert refused.value.code == "podman"


@pytest.mark.parametrize(
    ("status", "words", "code", "said"),
    [
        (404, "docker.io/x:1: image not known", "image", "of cvat-db is not on this host"),
        (500, 'the container name "cvat-db" is in use', "container", "cvat-db cannot be made: .*in use"),
    ],
)
def test_a_container_that_cannot_be_made_says_why(
    tmp_path: Path, status: int, words: str, code: str, said: str
) -> None:
    refusal = say(status, {"cause": words, "message": words, "response": status})
    with serving(tmp_path, {"POST /containers/create": refusal}) as url, Podman(url) as podman:
        with pytest.raises(CvatdError, match=said) as refused:
            podman.create(STACK.container("cvat-db"), STACK.network, None, tmp_path)
        assert refused.value.code == code


def test_a_podman_that_is_gone_when_something_is_made_is_called_so(tmp_path: Path) -> None:
    with Podman(f"unix://{tmp_path}/podman.sock") as podman:
        for make in (
            lambda: podman.create(STACK.container("cvat-db"), STACK.network, None, tmp_path),
            lambda: podman.ensure_network(STACK.network),
        ):
            with pytest.raises(podman_module.Unreachable, match="no Podman socket") as refused:
                make()
            assert refused.value.code == "podman"


def test_what_is_gone_can_be_stopped_and_removed(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as url, Podman(url) as podman:
        podman.stop("cvat-db", 10)
        podman.remove("cvat-db")
        podman.remove_network("cvat-network")
        assert podman.interface("cvat-network") is None
        assert podman.image_id("docker.io/x:1") is None


def test_a_network_that_somebody_else_made_meanwhile_will_do(tmp_path: Path) -> None:
    answers: dict[str, Answer | list[Answer]] = {
        "GET /networks/cvat-network/exists": [say(404, {}), say(204, b"")],
        "POST /networks/create": say(409, {"message": "network name already used"}),
    }
    with serving(tmp_path, answers) as url, Podman(url) as podman:
        assert not podman.ensure_network("cvat-network")


def test_where_podman_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER_HOST", "unix:///here.sock")
    assert podman_module.usual_url() == "unix:///here.sock"
    monkeypatch.delenv("CONTAINER_HOST")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setattr("os.geteuid", lambda: 7)
    assert podman_module.usual_url() == "unix:///run/user/7/podman/podman.sock"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert podman_module.usual_url() == "unix:///run/podman/podman.sock"
