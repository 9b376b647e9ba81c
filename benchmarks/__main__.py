"""`make bench`: what the service costs beside a bare Ultralytics script, and CVAT's stack beside podman-compose.

Ratios hold when the machine's speed drifts, for both are run in turn; absolute figures are of this machine.
"""

import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

from benchmarks import stack
from benchmarks.stack import Row
from cvatd.training.runner import trainer_environment
from cvatd.training.shapes import draw_shapes

ROOT = Path(__file__).resolve().parents[1]
TRAINER_PYTHON = ROOT / ".venv-trainer" / "bin" / "python"
ROUNDS = 3
POSTS = 200
STARTS = 10
EPOCHS = 4
SAME = {"batch": 4, "imgsz": 96, "nbs": 4, "mosaic": 0.0, "optimizer": "AdamW", "lr0": 0.003, "seed": 0}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cvatd-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        draw_shapes(folder / "shapes.zip", 64, 16, 160, 1)
        dataset = serve(folder) + "/shapes.zip"
        print("measuring the command line", flush=True)
        rows = [help_time()]
        print("starting cvatd dev", flush=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        service = subprocess.Popen(
            [sys.executable, "-m", "cvatd.cli.main", "dev", "--data-dir", str(folder / "data"), "--port", str(port)],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        try:
            http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
            wait_until(lambda: healthy(http))
            wait_for(http, submit(http, dataset, "warm-up", epochs=1))  # the data set is in the cache now
            rows += idle_memory(service.pid)
            rows += trainings(http, dataset, folder)
            rows += latency(http, dataset)
            rows.append(second_data_set(http))
        finally:
            service.send_signal(signal.SIGINT)
            service.wait(60)
    rows += stack.rows()
    report(rows)


def help_time() -> Row:
    times = []
    for _ in range(STARTS):
        began = time.perf_counter()
        subprocess.run([ROOT / ".venv" / "bin" / "cvatd", "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - began)
    return ("cvatd --help, median", f"{statistics.median(times):.3f} s", "<= 0.2 s")


def idle_memory(supervisor: int) -> list[Row]:
    rows = []
    for name in ("web", "worker"):
        pid = child(supervisor, name)
        kilobytes = next(int(line.split()[1]) for line in status(pid) if line.startswith("VmRSS"))
        maps = Path(f"/proc/{pid}/maps").read_text()
        torch = "torch is imported" if "libtorch" in maps else "torch not imported"
        rows.append((f"idle memory of {name}", f"{kilobytes / 1024:.1f} MB, {torch}", "<= 80 MB"))
    return rows


def trainings(http: httpx.Client, dataset: str, folder: Path) -> list[Row]:
    """First step and whole job, ours and bare in turn."""
    unpacked = folder / "bare"
    zipfile.ZipFile(folder / "shapes.zip").extractall(unpacked)
    data = unpacked / "data.yaml"
    names = ["class_0", "class_1"]
    data.write_text(json.dumps({"path": str(unpacked), "train": "images/train", "val": "images/val", "names": names}))
    bare: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    for number in range(ROUNDS):
        print(f"training {EPOCHS} epochs, bare and through the service: round {number + 1} of {ROUNDS}", flush=True)
        bare.append(train_bare(data, folder))
        ours.append(train_ours(http, dataset, f"bench-{number}"))
    rows = []
    for column, (what, goal) in enumerate((("POST -> first step", "(warm start: later)"), ("whole job", "<= 1.10x"))):
        ratios = [o[column] / b[column] for o, b in zip(ours, bare, strict=True)]
        seconds = [statistics.median(times[column] for times in side) for side in (ours, bare)]
        words = f"{statistics.median(ratios):.2f}x bare  ({seconds[0]:.2f} s against {seconds[1]:.2f} s)"
        rows.append((f"{what}, median of {ROUNDS}", words, goal))
    return rows


def train_bare(data: Path, folder: Path) -> tuple[float, float]:
    orders = {"model": "yolov8n.yaml", "data": str(data), "epochs": EPOCHS, **SAME}
    began = time.time()
    answer = subprocess.run(
        [TRAINER_PYTHON, ROOT / "benchmarks" / "bare.py", json.dumps(orders), folder / "bare-out"],
        capture_output=True,
        text=True,
        check=True,
        env=trainer_environment(folder / "data" / "trainer"),
    )
    ended = time.time()
    found = re.search(r"first-step=([\d.]+)", answer.stdout)
    assert found, answer.stdout[-2000:]
    return float(found[1]) - began, ended - began


def train_ours(http: httpx.Client, dataset: str, job_id: str) -> tuple[float, float]:
    began = time.time()
    number = submit(http, dataset, job_id, EPOCHS)
    first = 0.0
    with http.stream("GET", f"/runs/{number}/events", timeout=120) as answer:
        for line in answer.iter_lines():
            if not first and '"batch"' in line:
                first = time.time()
            if line == "event: end":
                break
    ended = time.time()
    assert http.get(f"/runs/{number}").json()["state"] == "completed"
    return first - began, ended - began


def latency(http: httpx.Client, dataset: str) -> list[Row]:
    """POST /train, one after another, while a training runs; each run is cancelled afterwards."""
    print(f"POST /train {POSTS} times", flush=True)
    times, numbers = [], []
    for number in range(POSTS):
        began = time.perf_counter()
        numbers.append(submit(http, dataset, f"latency-{number}", 1000))
        times.append(time.perf_counter() - began)
    for number in reversed(numbers):
        http.post(f"/runs/{number}/cancel")
    cuts = statistics.quantiles(times, n=100)
    return [
        (
            "202 latency p50 / p99, a training beside it",
            f"{1000 * cuts[49]:.1f} / {1000 * cuts[98]:.1f} ms",
            "p99 <= 50 ms",
        )
    ]


def second_data_set(http: httpx.Client) -> Row:
    """From the claim of the last training to its data set being in place, by the run's own events."""
    events = http.get("/runs", params={"job_id": f"bench-{ROUNDS - 1}"}).json()["runs"][0]
    return ("second job's data set (64+16 images)", f"{1000 * events['dataset']['seconds']:.0f} ms", "<= 100 ms")


def submit(http: httpx.Client, dataset: str, job_id: str, epochs: int) -> int:
    body: dict[str, Any] = {
        "job_id": job_id,
        "dataset_url": dataset,
        "base_model": "yolov8n.yaml",
        "config": {"epochs": epochs, **SAME},
    }
    answer = http.post("/train", json=body)
    assert answer.status_code == 202, answer.text
    return int(answer.headers["location"].rsplit("/", 1)[1])


def wait_for(http: httpx.Client, number: int) -> None:
    wait_until(lambda: http.get(f"/runs/{number}").json()["state"] == "completed")


def healthy(http: httpx.Client) -> bool:
    try:
        return http.get("/health").status_code == 200
    except httpx.HTTPError:
        return False


def wait_until(condition: Any, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def child(supervisor: int, name: str) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = next(int(line.split()[1]) for line in status(int(folder.name)) if line.startswith("PPid"))
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == supervisor and name.encode() in command:
            return int(folder.name)
    raise AssertionError(f"no {name}")


def status(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def serve(folder: Path) -> str:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def report(rows: list[Row]) -> None:
    heads = ("what", "measured", "goal")
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(3)]
    print(f"\n{os.cpu_count()} processors, Python {sys.version.split()[0]}")
    for row in (heads, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
