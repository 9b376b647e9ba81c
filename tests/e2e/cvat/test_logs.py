"""`cvatd logs`: all containers, followed over their restarts, harmless on a terminal."""

import json
import signal

import pytest

from tests.e2e.cvat.stand import CVATD, Stand
from tests.e2e.cvat.terminal import Terminal

pytestmark = pytest.mark.e2e
SHOWN_S = 30.0


def write(standing: Stand, container: str, text: str) -> None:
    """As if the container itself had logged it; `text` in printf's words."""
    done = standing.podman.execute(container, ["sh", "-c", f"printf '{text}\\n' > /proc/1/fd/1"])
    assert done.status == 0, done.err


def test_all_containers_stand_with_their_names(standing: Stand) -> None:
    lines = standing.cvatd("logs", "--tail", "3").stdout.splitlines()
    names = {line.partition(" |")[0].strip() for line in lines}
    assert {"cvat-db", "cvat-redis", "cvat-server", "cvat-proxy"} <= names
    assert all(sum(line.startswith(name) for line in lines) <= 3 for name in names)


def test_one_container_stands_alone_and_in_order(standing: Stand) -> None:
    write(standing, "cvat-ui", "first")
    write(standing, "cvat-ui", "second")
    assert standing.cvatd("logs", "ui", "-n", "2").stdout == "first\nsecond\n"
    written = [json.loads(line) for line in standing.cvatd("logs", "ui", "-n", "2", "--json").stdout.splitlines()]
    assert [line["text"] for line in written] == ["first", "second"]
    assert 0 < written[0]["time_ns"] <= written[1]["time_ns"]


def test_a_hostile_line_moves_no_terminal(standing: Stand) -> None:
    write(standing, "cvat-ui", "\\033[2J\\033]0;owned\\007 \\033[31mred\\033[0m")
    with Terminal([CVATD, "logs", "ui", "-n", "1"], standing.env) as terminal:
        assert terminal.wait() == 0
        assert terminal.shown == "\\x1b[2J\\x1b]0;owned\\x07 red\r\n"


def test_following_survives_restarts_and_ends_with_control_c(standing: Stand) -> None:
    with Terminal([CVATD, "logs", "-f", "ui", "opa", "-n", "1"], standing.env) as terminal:
        write(standing, "cvat-ui", "before the restart")
        shown = terminal.expect("before the restart", SHOWN_S)
        assert "cvat-ui " in shown
        standing.podman.stop("cvat-ui", 5)
        standing.podman.start("cvat-ui")
        write(standing, "cvat-ui", "after the restart")
        terminal.expect("after the restart", SHOWN_S)
        long = "yes a | head -n 20000 | tr -d '\\n' > /proc/1/fd/1; echo b > /proc/1/fd/1"
        assert standing.podman.execute("cvat-ui", ["sh", "-c", long]).status == 0
        terminal.expect(f" {'a' * 20_000}b\r\n", SHOWN_S)
        standing.host.stop(signal.SIGKILL)
        standing.host.revive()
        write(standing, "cvat-ui", "after the restart of Podman")
        terminal.expect("after the restart of Podman", SHOWN_S)
        terminal.send("\x03")
        assert terminal.wait(5) == 130
        assert "before the restart" not in terminal.shown
