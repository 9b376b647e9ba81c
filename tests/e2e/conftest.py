"""A whole `cvatd dev`: real PostgreSQL, Redis, web, worker and training."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cvatd.training.shapes import draw_shapes
from tests.e2e.peers import Receiver, file_server
from tests.serving import running

READY_TIMEOUT_S = 90
RUN_TIMEOUT_S = 150
SMALL = {"batch_size": 4, "img_size": 64, "nbs": 4, "plots": False, "mosaic": 0.0, "seed": 0}


class Dev:
    """One `cvatd dev` on a folder of its own; may be stopped and started again."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        self._python = python
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=20)
        self.receiver = Receiver()
        self.process: subprocess.Popen[bytes] | None = None
        self.files = ""

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        arguments = ["--data-dir", str(self.folder), "--port", str(self.port), "--trainer-python", str(self._python)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cvatd.cli.main", "dev", *arguments],
            stdout=(self.folder / "out.txt").open("ab"),
            stderr=subprocess.STDOUT,
        )
        self.wait(lambda: self.process.poll() is not None or self.healthy(), READY_TIMEOUT_S, "dev to be healthy")  # type: ignore[union-attr]
        assert self.process.poll() is None, (self.folder / "out.txt").read_text()

    def healthy(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def submit(self, job_id: str, dataset: str = "shapes.zip", epochs: int = 3, **values: Any) -> int:
        """The run's number."""
        body: dict[str, Any] = {
            "job_id": job_id,
            "dataset_url": f"{self.files}/{dataset}",
            "base_model": "yolov8n.yaml",
            "callback_url": self.receiver.url,
            "config": {**SMALL, "epochs": epochs},
            **values,
        }
        answer = self.http.post("/train", json=body)
        assert answer.status_code == 202, answer.text
        return int(answer.headers["location"].rsplit("/", 1)[1])

    def run(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/runs/{number}").json()
        return found

    def wait(self, condition: Callable[[], object], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}\n{self.logs()}"
            time.sleep(0.05)

    def wait_for_epoch(self, number: int, epoch: int) -> None:
        """Until this epoch is being trained."""
        self.wait(lambda: self.run(number)["epoch"] >= epoch - 1, RUN_TIMEOUT_S, f"epoch {epoch} of run {number}")

    def wait_for_end(self, number: int, state: str = "completed") -> dict[str, Any]:
        ends = ("completed", "failed", "cancelled")
        self.wait(lambda: self.run(number)["state"] in ends, RUN_TIMEOUT_S, f"the end of run {number}")
        run = self.run(number)
        assert run["state"] == state, f"{run['error_message']}\n{self.logs()}"
        return run

    def wait_for_last_callback(self, job_id: str) -> None:
        ends = {"completed", "failed"}
        self.wait(lambda: ends & set(self.receiver.types(job_id)), 20, f"the last callback of {job_id}")

    def events(self, number: int) -> list[tuple[str, dict[str, Any]]]:
        """What happened to an ended run, as (type, data)."""
        lines = self.http.get(f"/runs/{number}/events").text.splitlines()
        data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
        return [(event["type"], event["data"]) for event in data if "seq" in event]

    def epochs(self, number: int) -> list[int]:
        return [data["epoch"] for kind, data in self.events(number) if kind == "epoch"]

    def pid(self, name: str) -> int:
        """The process of a service, by the command it was started with."""
        assert self.process is not None
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(entry.read_text().rpartition(")")[2].split()[1])
                command = (entry.parent / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == self.process.pid and name.encode() in command:
                return int(entry.parent.name)
        raise AssertionError(f"no {name} below dev")

    def trainer_pid(self, number: int) -> int:
        file = self.folder / "runs" / str(number) / "trainer.pid"
        return int(json.loads(file.read_text())["pid"])

    def logs(self) -> str:
        files = [self.folder / "out.txt", *sorted((self.folder / "log").glob("w*.log"))]
        return "\n".join(f"== {file.name}\n{file.read_text()[-1500:]}" for file in files if file.exists())


@pytest.fixture(scope="session")
def dev(trainer_python: Path) -> Iterator[Dev]:
    """Started once; tests use job_ids of their own."""
    folder = Path(tempfile.mkdtemp(prefix="cvatd-dev-"))
    folder.chmod(0o755)
    made = Dev(folder / "data", trainer_python)
    shared = folder / "files"
    shared.mkdir()
    draw_shapes(shared / "shapes.zip", 16, 4, 96, 1)
    files = file_server(shared)
    made.files = f"http://127.0.0.1:{files.server_port}"
    with running(made.receiver.server), running(files):
        made.start()
        yield made
        if made.process and made.process.poll() is None:
            made.stop()
    shutil.rmtree(folder, ignore_errors=True)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
