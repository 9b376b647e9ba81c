"""Starts the trainer as a process of its own, and finds it again after its worker died."""

import contextlib
import json
import os
import select
import signal
import subprocess
from pathlib import Path

from cvatd.training.trainer.identity import PID_FILE, start_time

TRAINER_MAIN = Path(__file__).parent / "trainer" / "__main__.py"
MOST_THREADS = 8
KILL_WAIT_S = 5.0
# What a trainer may know of the environment of its worker; tokens and database addresses are not for it.
PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
    "TMPDIR",
)


def trainer_environment(shared_dir: Path) -> dict[str, str]:
    """No network, no telemetry, no packages installed at run time; threads as many as Ultralytics itself would take."""
    # Ultralytics takes all processors but one on a CPU; OpenMP must have the same number from the start, or it crawls.
    threads = max(1, min(MOST_THREADS, (os.cpu_count() or 1) - 1))
    return {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        "HOME": str(shared_dir),
        "YOLO_CONFIG_DIR": str(shared_dir),
        "MPLCONFIGDIR": str(shared_dir / "matplotlib"),
        "MPLBACKEND": "Agg",
        # The words, not digits: 8.3.217 takes "1" for no, and then asks the network and reports to Google Analytics.
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "ULTRALYTICS_SAFE_LOAD": "true",  # unknown to 8.3.217
        "OMP_NUM_THREADS": str(threads),
        "PYTHONUNBUFFERED": "1",
    }


class Handle:
    """A trainer that runs: our own child, or one that an earlier worker left."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self._child = child
        self._pidfd = os.pidfd_open(pid)

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, after `timeout_s` at the latest."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        ended = bool(poll.poll(timeout_s * 1000))
        if ended and self._child is not None:
            self._child.wait()
        return ended

    def exit_code(self) -> int | None:
        """Its status once it has ended (below zero: a signal's number); None for one that is not our child."""
        return self._child.returncode if self._child is not None else None

    def stop(self, grace_s: float) -> None:
        """Ask it to stop, and kill it with all its children when it does not."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)
        if not self.wait(grace_s):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.wait(KILL_WAIT_S)


class ProcessRunner:
    """Runs the trainer as a plain process, in a session of its own so that it outlives its worker."""

    def start(self, run_dir: Path, python: Path, shared_dir: Path) -> Handle:
        shared_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / PID_FILE).unlink(missing_ok=True)
        with (run_dir / "trainer.log").open("ab") as log:
            child = subprocess.Popen(
                [python.absolute(), TRAINER_MAIN, "train", run_dir],
                cwd=run_dir,
                env=trainer_environment(shared_dir.absolute()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Handle(child.pid, child)

    def attach(self, run_dir: Path) -> Handle | None:
        """The run's trainer if it is alive; None when it is not, or another process has its number now."""
        try:
            known = json.loads((run_dir / PID_FILE).read_text())
            pid, started = int(known["pid"]), known["started"]
            handle = Handle(pid)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return handle if started is not None and start_time(pid) == started and not handle.wait(0) else None
