"""Real trainings by real Ultralytics, in its oldest and its newest version, each some seconds long."""

import json
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cvatd.training.arguments import check_config
from cvatd.training.description import load_description
from cvatd.training.runner import Handle, ProcessRunner
from cvatd.training.shapes import draw_shapes

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
PYTHONS = [".venv-trainer", ".venv-trainer-8.3.217"]
PATIENCE_S = 120.0
EPOCHS = 4
Event = dict[str, Any]


@pytest.fixture(scope="module", params=PYTHONS)
def python(request: pytest.FixtureRequest) -> Path:
    found: Path = ROOT / request.param / "bin" / "python"
    if not found.exists():
        pytest.skip(f"{request.param} is not installed")
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    draw_shapes(folder / "shapes.zip", train=24, val=6, size=96, seed=1)
    with zipfile.ZipFile(folder / "shapes.zip") as archive:
        archive.extractall(folder)
    file = folder / "data.yaml"
    file.write_text(f"path: {folder}\ntrain: images/train\nval: images/val\nnames: {{0: square, 1: circle}}\n")
    return file


class Training:
    """A run folder and what happens in it."""

    def __init__(self, folder: Path, python: Path, shared: Path) -> None:
        self.folder, self._python, self._shared = folder, python, shared
        self.handle: Handle | None = None

    def start(self, data: Path, model: str = "yolov8n.yaml", **config: Any) -> Handle:
        small = {"imgsz": 64, "batch": 4, "nbs": 4, "plots": False}
        spec = {"run": 1, "attempt": 1, "model": model, "task": "detect", "data": str(data), "device": "cpu"}
        (self.folder / "spec.json").write_text(json.dumps({**spec, "args": {**small, **config}}))
        self.handle = ProcessRunner().start(self.folder, self._python, self._shared)
        return self.handle

    def end(self) -> int | None:
        assert self.handle is not None
        assert self.handle.wait(PATIENCE_S), self.log
        return self.handle.exit_code()

    def until(self, wanted: Callable[[list[Event]], bool]) -> None:
        assert self.handle is not None
        deadline = time.monotonic() + PATIENCE_S
        while not wanted(self.events):
            assert not self.handle.wait(0.02), self.log
            assert time.monotonic() < deadline, self.log

    @property
    def events(self) -> list[Event]:
        file = self.folder / "events.jsonl"
        lines = file.read_text().split("\n") if file.exists() else []
        return [json.loads(line) for line in lines[:-1]]  # behind the last newline a line may be in the writing

    @property
    def log(self) -> str:
        return (self.folder / "trainer.log").read_text()

    def of_type(self, kind: str) -> list[Event]:
        return [event["data"] for event in self.events if event["type"] == kind]


@pytest.fixture
def training(tmp_path: Path, python: Path, shared: Path) -> Iterator[Training]:
    training = Training(tmp_path, python, shared)
    yield training
    if training.handle is not None:
        training.handle.stop(0)


def test_a_training_stopped_then_killed_goes_on_to_its_end(training: Training, data: Path) -> None:
    training.start(data, epochs=EPOCHS)
    training.until(lambda events: events[-1:] != [] and events[-1]["type"] == "batch" and len(events) > 1)
    training.until(lambda events: any(event["type"] == "epoch" for event in events))
    assert training.handle is not None
    training.handle.stop(grace_s=PATIENCE_S)
    assert training.handle.exit_code() == 75, training.log
    done = training.of_type("stopped")[0]["epoch"]
    assert 1 <= done < EPOCHS

    # Killed at the worst moment: every epoch is trained, last.pt is being stripped, the end was not told.
    training.start(data, epochs=EPOCHS)
    training.until(lambda events: events[-1]["type"] == "finishing")
    os.kill(training.handle.pid, signal.SIGKILL)
    assert training.end() == -signal.SIGKILL
    # And what Ultralytics itself left is cut: only the kept copies may serve.
    (training.folder / "out" / "weights" / "last.pt").write_bytes(b"PK")

    training.start(data, epochs=EPOCHS)
    assert training.end() == 0, training.log

    started = training.of_type("started")
    assert [event["resumed"] for event in started] == [False, True, True]
    assert [event["epoch"] for event in started] == [1, done + 1, EPOCHS]
    assert {event["epochs"] for event in started} == {EPOCHS}
    assert started[0]["seed"] == 0
    assert set(started[0]["versions"]) == {"ultralytics", "torch", "python"}
    epochs = training.of_type("epoch")
    assert sorted({event["epoch"] for event in epochs}) == list(range(1, EPOCHS + 1))
    assert [event["epoch"] for event in epochs] == [*range(1, EPOCHS + 1), EPOCHS]  # the last one twice, no other
    for event in epochs:
        assert set(event["loss"]) == set(event["val_loss"]) == {"box_loss", "cls_loss", "dfl_loss"}
        assert set(event["metrics"]) == {"precision", "recall", "map50", "map50_95"}
        assert event["seconds"] > 0
    [finished] = training.of_type("finished")
    assert finished["epochs"] == EPOCHS
    assert set(finished["metrics"]) == {"precision", "recall", "map50", "map50_95"}
    assert (training.folder / finished["weights"]).stat().st_size > 1_000_000
    assert (training.folder / "out" / "results.csv").exists()
    assert training.events[-1]["type"] == "finished"


def test_it_asks_no_network(training: Training, data: Path, shared: Path) -> None:
    training.start(data, epochs=1)
    assert training.end() == 0, training.log
    assert "Download" not in training.log
    assert (shared / "Ultralytics" / "Arial.ttf").exists()
    settings = json.loads((shared / "Ultralytics" / "settings.json").read_text())
    assert settings["sync"] is False
    assert not [name for name in ("clearml", "comet", "dvc", "mlflow", "raytune", "wandb") if settings.get(name)]


@pytest.mark.parametrize(
    ("names", "code"), [("names: [square, circle]\nval: nowhere", "dataset"), ("names: {", "dataset")]
)
def test_a_data_set_it_cannot_use_fails_in_words(training: Training, tmp_path: Path, names: str, code: str) -> None:
    broken = tmp_path / "data.yaml"
    broken.write_text(f"path: {tmp_path}\ntrain: images/train\n{names}\n")
    training.start(broken, epochs=1)
    assert training.end() == 1
    [failed] = training.of_type("failed")
    assert failed["code"] == code
    assert "data set" in failed["message"]
    assert "\x1b" not in failed["message"]


def test_an_argument_of_another_version_fails_in_words(training: Training, data: Path) -> None:
    training.start(data, epochs=1, from_the_future=1)
    assert training.end() == 1
    [failed] = training.of_type("failed")
    assert failed["code"] == "bad_argument"
    assert "from_the_future" in failed["message"]


def test_weights_that_are_none_fail_in_words(training: Training, data: Path) -> None:
    weights = training.folder / "weights.pt"
    weights.write_bytes(b"no weights")
    training.start(data, model=str(weights), epochs=1)
    assert training.end() == 1
    [failed] = training.of_type("failed")
    assert failed["code"] == "weights"


def test_its_description_serves_the_checks(python: Path, tmp_path: Path) -> None:
    description = load_description(python, tmp_path / "trainer.json")
    assert description.device in description.devices
    assert {"yolov8n.yaml", "yolo11n-seg.yaml"} <= set(description.models.scratch)
    assert {"yolov8n", "yolo11n-seg"} <= set(description.models.pretrained)
    assert not [name for name in description.models.scratch if "pose" in name or "cls" in name]
    config = {"epochs": 3, "batch_size": 4, "img_size": 96, "learning_rate": 0.01, "scale": 0.5, "amp": False}
    assert check_config(config, description)["imgsz"] == 96
