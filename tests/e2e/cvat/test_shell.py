"""`cvatd shell`: with a terminal and without."""

from pathlib import Path

import pytest

from cvatd.stack import secret_files
from tests.e2e.cvat.stand import CVATD, Stand
from tests.e2e.cvat.terminal import Terminal

pytestmark = pytest.mark.e2e
SHOWN_S = 30.0


def test_a_script_from_a_pipe(standing: Stand) -> None:
    assert standing.cvatd("shell", "db", input="\\t on\nSELECT 6 * 7;\n").stdout.split()[-1] == "42"
    assert standing.cvatd("shell", "redis", input="PING\n").stdout.strip() == "PONG"
    assert standing.cvatd("shell", "kvrocks", input="PING\n").stdout.strip() == "PONG"
    assert standing.cvatd("shell", "server", input="printf '%s' \"$CVAT_REDIS_INMEM_HOST\"\n").stdout == "cvat-redis"


def test_the_exit_status_is_passed_on(standing: Stand) -> None:
    assert standing.cvatd("shell", "server", input="exit 7\n", check=False).returncode == 7
    wrong = standing.cvatd("shell", "dbb", check=False)
    assert wrong.returncode == 2
    assert "db, redis, kvrocks, server" in wrong.stderr


def test_on_a_terminal_there_is_a_terminal_inside(standing: Stand) -> None:
    with Terminal([CVATD, "shell", "server"], standing.env, columns=93) as terminal:
        terminal.send("tty; stty size; echo $TERM\n")
        terminal.expect("/dev/pts/", SHOWN_S)
        terminal.expect("93", SHOWN_S)
        terminal.expect("xterm-256color", SHOWN_S)
        terminal.send("exit 5\n")
        assert terminal.wait() == 5


def test_no_password_is_in_anybodys_arguments(standing: Stand) -> None:
    password = secret_files.read(standing.settings, secret_files.POSTGRES).encode()
    with Terminal([CVATD, "shell", "db"], standing.env) as terminal:
        terminal.expect("cvat=#", SHOWN_S)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                seen = (process / "cmdline").read_bytes()
            except OSError:
                continue
            assert password not in seen
        terminal.send("\\q\n")
        assert terminal.wait() == 0
