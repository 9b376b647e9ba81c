"""The supervisor with small real children."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.core.embedded.supervisor import (
    FIRST_BACKOFF_S,
    LONGEST_BACKOFF_S,
    MOST_DEATHS,
    Service,
    Supervisor,
    backoff,
)
from cvatd.core.errors import CvatdError

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@given(st.lists(st.floats(0, 1000), min_size=1))
def test_pauses_grow_and_end(deaths: list[float]) -> None:
    pause = backoff(sorted(deaths), max(deaths))
    assert pause is None or FIRST_BACKOFF_S <= pause <= LONGEST_BACKOFF_S


def test_old_deaths_are_forgotten() -> None:
    assert backoff([0.0] * 50, 1000.0) == FIRST_BACKOFF_S
    assert backoff([1000.0] * MOST_DEATHS, 1000.0) is None


def test_a_service_that_ends_before_it_is_ready_is_told_with_its_last_lines(tmp_path: Path) -> None:
    dying = Service("dying", [sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"], ready=lambda: False)
    with Supervisor(tmp_path, lambda _: None, handle_signals=False) as supervisor:
        with pytest.raises(CvatdError, match="status 3") as refused:
            supervisor.start(dying)
        assert "no such thing" in refused.value.message


def test_a_service_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    idle = Service("idle", SLEEPER, ready=lambda: False, ready_timeout_s=0.3)
    with (
        Supervisor(tmp_path, lambda _: None, handle_signals=False) as supervisor,
        pytest.raises(CvatdError, match="not ready"),
    ):
        supervisor.start(idle)


def test_a_second_one_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with (
        Supervisor(tmp_path, lambda _: None, handle_signals=False),
        pytest.raises(CvatdError, match=str(os.getpid())),
        Supervisor(tmp_path, lambda _: None, handle_signals=False),
    ):
        pass


def test_all_end_in_reverse_order_and_the_stubborn_are_killed(tmp_path: Path) -> None:
    said: list[str] = []
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    with Supervisor(tmp_path, said.append, handle_signals=False) as supervisor:
        supervisor.start(Service("first", SLEEPER))
        log = tmp_path / "log" / "second.log"
        supervisor.start(
            Service(
                "second",
                [sys.executable, "-c", stubborn],
                lambda: log.exists() and "up" in log.read_text(),
                grace_s=0.3,
            )
        )
    assert [words for words in said if words.startswith("stopping")] == ["stopping second", "stopping first"]
    assert any("killed" in words for words in said)


SCRIPT = """
import sys
from pathlib import Path
from cvatd.core.embedded.supervisor import Service, Supervisor
with Supervisor(Path(sys.argv[1]), lambda words: print(words, flush=True)) as supervisor:
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    supervisor.start(Service("child", [sys.executable, "-c", child]))
    supervisor.run()
"""


@pytest.fixture
def supervised(tmp_path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.DEVNULL)


def pids(tmp_path: Path, count: int) -> list[int]:
    """The children that were started so far, once there are `count`."""
    log = tmp_path / "log" / "child.log"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = [int(line) for line in log.read_text().split()] if log.exists() else []
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError("no child")


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or ") Z " in state.read_text():
            return True
        time.sleep(0.02)
    return False


def test_a_child_that_dies_is_started_again(tmp_path: Path, supervised: "subprocess.Popen[bytes]") -> None:
    (first,) = pids(tmp_path, 1)
    os.kill(first, signal.SIGKILL)
    second = pids(tmp_path, 2)[1]
    supervised.send_signal(signal.SIGINT)
    assert supervised.wait(20) == 0
    assert gone(second)


def test_kill_9_of_the_supervisor_leaves_nothing(tmp_path: Path, supervised: "subprocess.Popen[bytes]") -> None:
    (child,) = pids(tmp_path, 1)
    supervised.kill()
    supervised.wait()
    assert gone(child)


def test_one_ctrl_c_that_comes_twice_is_one(tmp_path: Path, supervised: "subprocess.Popen[bytes]") -> None:
    """make and timeout pass it on: what stops in order must not be killed for that."""
    pids(tmp_path, 1)
    supervised.send_signal(signal.SIGINT)
    supervised.send_signal(signal.SIGINT)
    assert supervised.wait(20) == 0
