"""With a small script in the trainer's place: processes, signals and exit codes are real."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cvatd.training import runner
from cvatd.training.runner import Handle, ProcessRunner, trainer_environment
from cvatd.training.trainer.identity import PID_FILE, start_time

PATIENCE_S = 20.0
STAND_IN = f"""
import json, os, signal, subprocess, sys, time
sys.path.append({str(Path(__file__).parents[2])!r})
from pathlib import Path
from cvatd.training.trainer.identity import announce
run = Path(sys.argv[2])
announce(run)
kind = (run / "kind").read_text()
print("hello from", kind)
if kind == "polite":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(75))
elif kind == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (run / "helper").write_text(str(helper.pid))
(run / "ready").write_text(json.dumps(dict(os.environ)))
if kind == "short":
    os._exit(1)
time.sleep(600)
"""


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(STAND_IN)
    monkeypatch.setattr(runner, "TRAINER_MAIN", stand_in)
    folder = tmp_path / "run"
    folder.mkdir()
    yield folder
    left = ProcessRunner().attach(folder)
    if left is not None:
        left.stop(0)


def start(run_dir: Path, kind: str) -> Handle:
    (run_dir / "kind").write_text(kind)
    handle = ProcessRunner().start(run_dir, Path(sys.executable), run_dir.parent / "shared")
    until = time.monotonic() + PATIENCE_S
    while not (run_dir / "ready").exists():
        assert time.monotonic() < until, (run_dir / "trainer.log").read_text()
        time.sleep(0.01)
    return handle


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_its_words_go_to_the_log_and_its_status_is_known(run_dir: Path) -> None:
    handle = start(run_dir, "short")
    assert handle.wait(PATIENCE_S)
    assert handle.exit_code() == 1
    assert "hello from short" in (run_dir / "trainer.log").read_text()
    assert ProcessRunner().attach(run_dir) is None


def test_it_stops_when_asked(run_dir: Path) -> None:
    handle = start(run_dir, "polite")
    assert not handle.wait(0)
    assert handle.exit_code() is None
    handle.stop(grace_s=PATIENCE_S)
    assert handle.exit_code() == 75


def test_one_that_does_not_listen_is_killed_with_its_helpers(run_dir: Path) -> None:
    handle = start(run_dir, "deaf")
    helper = int((run_dir / "helper").read_text())
    handle.stop(grace_s=0.1)
    assert handle.exit_code() == -signal.SIGKILL
    until = time.monotonic() + PATIENCE_S
    while alive(helper):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_it_lives_in_a_session_of_its_own(run_dir: Path) -> None:
    handle = start(run_dir, "polite")
    assert os.getsid(handle.pid) == handle.pid != os.getsid(0)


def test_another_worker_finds_it_again_and_stops_it(run_dir: Path) -> None:
    child = start(run_dir, "polite")
    found = ProcessRunner().attach(run_dir)
    assert found is not None
    assert found.pid == child.pid
    found.stop(grace_s=PATIENCE_S)
    assert found.exit_code() is None  # only a parent learns it
    assert child.wait(PATIENCE_S)
    assert child.exit_code() == 75


def test_a_later_process_of_the_same_number_is_not_the_trainer(run_dir: Path) -> None:
    (run_dir / PID_FILE).write_text(json.dumps({"pid": os.getpid(), "started": start_time(1)}))
    assert ProcessRunner().attach(run_dir) is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"pid": "x"}', '{"pid": 999999999, "started": "1"}', '{"pid": -1, "started": "1"}'],
)
def test_a_broken_pid_file_names_nobody(run_dir: Path, content: str) -> None:
    (run_dir / PID_FILE).write_text(content)
    assert ProcessRunner().attach(run_dir) is None


def test_only_the_named_variables_reach_it(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRALYTICS_API_KEY", "secret")
    monkeypatch.setenv("CVATD_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    start(run_dir, "polite")
    seen = json.loads((run_dir / "ready").read_text())
    assert set(seen) - {"LC_CTYPE"} == set(trainer_environment(run_dir.parent / "shared"))  # Python adds that one
    assert "secret" not in json.dumps(seen)
    assert seen["CUDA_VISIBLE_DEVICES"] == "3"
    # 8.3.217 understands the word alone, and would ask the network otherwise.
    assert seen["YOLO_OFFLINE"] == "true"
    assert seen["YOLO_CONFIG_DIR"] == str(run_dir.parent / "shared")
