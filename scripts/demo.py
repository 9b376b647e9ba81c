"""`make demo`: from an empty machine to a trained model, and the proof that it learned.

Draws a small labelled data set, starts `cvatd dev`, submits the training over HTTP, shows the epochs, receives the
callbacks, and checks four kinds of evidence: the callbacks, the weights, mAP50 on unseen images, the result files.
"""

import base64
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cvatd.cli.client import Client
from cvatd.cli.progress import show_live
from cvatd.core.errors import CvatdError
from cvatd.training.shapes import draw_shapes

ROOT = Path(__file__).resolve().parents[1]
# Set where this lies in a folder that nobody may write to, such as the Nix store.
DEMO_DIR = Path(os.environ.get("DEMO_DIR", ROOT / ".demo"))
TRAINER_PYTHON = Path(os.environ.get("TRAINER_PYTHON", ROOT / ".venv-trainer" / "bin" / "python"))
READY_TIMEOUT_S = 120
CALLBACK_TIMEOUT_S = 30
STOP_TIMEOUT_S = 60
MIN_MAP50 = 0.5
IMAGE_SIZE_PX = 160
TRAIN_IMAGES, VAL_IMAGES, UNSEEN_IMAGES = 64, 16, 24
SEED, UNSEEN_SEED = 1, 2
CONFIG = {
    "epochs": 8,
    "batch_size": 4,
    "img_size": 96,
    "learning_rate": 0.003,
    "optimizer": "AdamW",
    "nbs": 4,  # one optimizer step a batch: 64 images are few
    "mosaic": 0.0,
    "seed": 0,
}


def main() -> None:
    serve = os.environ.get("SERVE") == "1"
    port = int(os.environ.get("PORT", "0")) or (5000 if serve else free_port())
    DEMO_DIR.mkdir(exist_ok=True)
    say("drawing a small data set: red squares and blue circles, no data.yaml")
    dataset = DEMO_DIR / "shapes.zip"
    draw_shapes(dataset, TRAIN_IMAGES, VAL_IMAGES, IMAGE_SIZE_PX, SEED)
    receiver = Receiver(secrets.token_hex(8))
    say("starting cvatd dev (its own PostgreSQL and Redis, web, one trainer worker)")
    service = subprocess.Popen(
        [
            *(sys.executable, "-m", "cvatd.cli.main", "dev", "--data-dir", str(DEMO_DIR / "data")),
            *("--port", str(port), "--trainer-python", str(TRAINER_PYTHON)),
        ],
        cwd=DEMO_DIR,
        stdout=(DEMO_DIR / "dev.log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for us: we end it
    )
    try:
        os.environ["CVATD_URL"] = f"http://127.0.0.1:{port}"
        client = Client()
        wait_until_healthy(client, service)
        run = train(client, receiver, dataset)
        check(client, run, receiver)
        if serve:
            say(f"the page is up: http://127.0.0.1:{port}/training/{run['id']}   Ctrl-C ends it")
            service.wait()
    except KeyboardInterrupt:
        pass
    finally:
        stop(service)


def train(client: Client, receiver: "Receiver", dataset: Path) -> dict[str, Any]:
    job_id = f"demo-{secrets.token_hex(4)}"
    body = {
        "job_id": job_id,
        "callback_url": receiver.url,
        "callback_token": receiver.token,
        "dataset_url": serve_folder(dataset.parent) + dataset.name,
        "base_model": "yolov8n.yaml",
        "model_name": "shapes",
        "config": CONFIG,
    }
    say(f"POST /train -> {client.post('/train', body)['message']} ({job_id})")
    number = client.get("/runs", job_id=job_id)["runs"][0]["id"]
    state = show_live(client.follow(number))
    run = client.get(f"/runs/{number}")
    if state != "completed":
        fail(f"the run is {state}: {run['error_message']}")
    return run


def check(client: Client, run: dict[str, Any], receiver: "Receiver") -> None:
    """Four kinds of evidence, or a non-zero exit."""
    receiver.wait_for("training_completed", CALLBACK_TIMEOUT_S)
    kinds = [message["type"] for message in receiver.messages]
    expected = ["training_started", *["training_progress"] * CONFIG["epochs"], "training_completed"]  # type: ignore[operator]
    epochs = [m["data"]["epoch"] for m in receiver.messages if m["type"] == "training_progress"]
    if kinds != expected or epochs != list(range(1, len(epochs) + 1)):
        fail(f"the callbacks came as {kinds}, epochs {epochs}")
    say(f"callbacks  {len(kinds)} in order, each with our bearer token")

    data = receiver.messages[-1]["data"]
    weights = DEMO_DIR / f"{run['job_id']}.pt"
    weights.write_bytes(base64.b64decode(data["model_base64"]))
    if hashlib.sha256(weights.read_bytes()).hexdigest() != data["model_sha256"]:
        fail("the model that the callback brought is not the one it names")
    say(f"weights    {weights.stat().st_size / 1e6:.1f} MB by callback, sha256 as said")

    map50 = validate(weights)
    say(f"learned    mAP50 {map50:.3f} on {UNSEEN_IMAGES} images it never saw")
    if map50 < MIN_MAP50:
        fail(f"mAP50 {map50:.3f} on unseen images is below {MIN_MAP50}")

    files = {file["name"] for file in client.get(f"/runs/{run['id']}/artifacts")["artifacts"]}
    missing = {"best.pt", "last.pt", "results.csv", "results.png", "confusion_matrix.png", "args.yaml"} - files
    if missing:
        fail(f"result files are missing: {sorted(missing)}")
    say(f"files      {len(files)}: weights, curves, plots, log")
    print(f"demo: ok job={run['job_id']} map50={map50:.3f} weights={weights}", flush=True)


def validate(weights: Path) -> float:
    """mAP50 by the trainer's own Python, on images drawn with another seed."""
    unseen = DEMO_DIR / "unseen.zip"
    draw_shapes(unseen, 1, UNSEEN_IMAGES, IMAGE_SIZE_PX, UNSEEN_SEED)
    result = subprocess.run(
        [
            str(TRAINER_PYTHON),
            str(ROOT / "scripts" / "validate.py"),
            str(weights),
            str(unseen),
            str(CONFIG["img_size"]),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=DEMO_DIR,
        env=os.environ
        | {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0", "YOLO_CONFIG_DIR": str(DEMO_DIR / "data" / "trainer")},
    )
    if result.returncode != 0:
        fail(f"the weights do not load:\n{result.stderr[-2000:]}")
    return float(json.loads(result.stdout.splitlines()[-1])["map50"])


class Receiver:
    """A callback receiver on loopback: keeps what comes with the right token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.messages: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                right = self.headers.get("authorization") == f"Bearer {receiver.token}"
                if right:
                    receiver.keep(json.loads(body))
                self.send_response(204 if right else 401)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}/webhook"

    def keep(self, message: dict[str, Any]) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def wait_for(self, kind: str, timeout_s: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: any(m["type"] == kind for m in self.messages), timeout_s):
                fail(f"no {kind} within {timeout_s:.0f} s")


def serve_folder(folder: Path) -> str:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def wait_until_healthy(client: Client, service: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if service.poll() is not None:
            fail(f"cvatd dev ended:\n{(DEMO_DIR / 'dev.log').read_text()[-2000:]}")
        try:
            health = client.get("/health")
        except CvatdError:
            time.sleep(0.2)
            continue
        say(f"healthy    Ultralytics {health['ultralytics_version']} on {health['device']}")
        return
    fail(f"not healthy within {READY_TIMEOUT_S} s; see {DEMO_DIR / 'dev.log'}")


def stop(service: "subprocess.Popen[bytes]") -> None:
    if service.poll() is None:
        service.send_signal(signal.SIGINT)
        try:
            service.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            service.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def say(words: str) -> None:
    print(f"demo: {words}", flush=True)


def fail(words: str) -> None:
    raise SystemExit(f"demo: FAILED: {words}")


if __name__ == "__main__":
    main()
