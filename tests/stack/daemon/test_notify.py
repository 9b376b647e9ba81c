"""systemd's protocol, against a real datagram socket."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cvatd.stack.daemon.notify import MOST_BYTES, Notifier


@pytest.fixture(params=["file", "abstract"])
def listening(request: pytest.FixtureRequest) -> Iterator[tuple[str, socket.socket]]:
    with tempfile.TemporaryDirectory(prefix="cvatd-") as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.settimeout(30)
        path = str(Path(folder) / "notify")
        s.bind(path if request.param == "file" else "\0" + path)
        yield (path if request.param == "file" else "@" + path), s


def test_what_is_said(listening: tuple[str, socket.socket]) -> None:
    name, heard = listening
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready()
    notifier.status("9 of 9 containers\nrun")
    notifier.status("9 of 9 containers run")  # nothing new
    notifier.stopping()
    assert [heard.recv(4096) for _ in range(3)] == [b"READY=1", b"STATUS=9 of 9 containers run", b"STOPPING=1"]


def test_the_watchdog_is_fed_often_enough_and_not_more(listening: tuple[str, socket.socket]) -> None:
    name, heard = listening
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000000"})
    for _ in range(5):
        notifier.alive()
    notifier.stopping()
    assert [heard.recv(4096) for _ in range(2)] == [b"WATCHDOG=1", b"STOPPING=1"]


@pytest.mark.parametrize(
    "watchdog",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}],
)
def test_no_watchdog_is_not_fed(watchdog: dict[str, str], listening: tuple[str, socket.socket]) -> None:
    name, heard = listening
    notifier = Notifier({"NOTIFY_SOCKET": name, **watchdog})
    notifier.alive()
    notifier.ready()
    assert heard.recv(4096) == b"READY=1"


def test_words_are_cut_where_a_character_ends(listening: tuple[str, socket.socket]) -> None:
    """systemd leaves out all of a status that is no whole UTF-8."""
    name, heard = listening
    notifier = Notifier({"NOTIFY_SOCKET": name})
    for before in ("", "x"):
        notifier.status(before + "ä" * MOST_BYTES)
        assert heard.recv(2 * MOST_BYTES).decode().startswith(f"STATUS={before}ää")


@pytest.mark.parametrize("name", ["", "relative", "/nowhere/at/all", "vsock:2:1234"])
def test_without_systemd_nothing_happens(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready()
    notifier.status("x" * 10_000)
