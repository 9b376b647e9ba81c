"""One training by Ultralytics, told in events, kept in checkpoints, stopped at a batch's end."""

import json
import platform
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from cvatd.training.trainer import checkpoints
from cvatd.training.trainer.environment import provide_font, switch_integrations_off
from cvatd.training.trainer.events import EventLog
from cvatd.training.trainer.failures import WeightsUnusable, explain
from cvatd.training.trainer.identity import announce

FINISHED, FAILED, STOPPED = 0, 1, 75
BATCH_EVENT_S = 0.5
PREFIXES = ("metrics/", "val/", "train/")


class StopAtBatchEnd(Exception):
    """SIGTERM came. Raised rather than setting trainer.stop, which strips last.pt of all that a resume needs."""


def train(run_dir: Path) -> int:
    """Do what spec.json says, from the newest good checkpoint if there is one; the exit status."""
    announce(run_dir)
    log = EventLog(run_dir / "events.jsonl")
    story = Story(run_dir, log)
    signal.signal(signal.SIGTERM, story.on_sigterm)
    try:
        story.run(json.loads((run_dir / "spec.json").read_text()))
    except StopAtBatchEnd:
        log.append("stopped", {"epoch": story.epoch_done})
        return STOPPED
    except BaseException as error:
        traceback.print_exc()
        code, message = explain(error)
        if code == "disk_full":
            checkpoints.drop_broken(run_dir / "out" / "weights")  # else there is no room to tell it
        log.append("failed", {"code": code, "message": message})
        return FAILED
    return FINISHED


class Story:
    """Ultralytics' callbacks, and what they remember."""

    def __init__(self, run_dir: Path, log: EventLog) -> None:
        self._dir = run_dir
        self._log = log
        self._out = run_dir / "out"
        self._checkpoints = run_dir / "checkpoints"
        self._stop = False
        self._finishing = False
        self._resumed = False
        self._spec: dict[str, Any] = {}
        self._batch = 0
        self._told_at = 0.0
        self._epoch_began = 0.0
        self._began = time.monotonic()
        self.epoch_done = 0

    def on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        self._stop = True

    def run(self, spec: dict[str, Any]) -> None:
        provide_font()
        import ultralytics

        switch_integrations_off()
        self._spec = spec
        arguments = {
            **spec["args"],
            "data": spec["data"],
            "device": spec["device"].removeprefix("cuda:").replace("cuda", "0"),
            "save": True,
            # Not save_dir: 8.3.217 drops it without a word.
            "project": str(self._out.parent.absolute()),
            "name": self._out.name,
            "exist_ok": True,
        }
        # A training by time reckons its epochs as it goes: there is always one more.
        last = sys.maxsize if arguments.get("time") else int(arguments.get("epochs", 100))
        checkpoint = checkpoints.newest_good(self._checkpoints, last)
        if checkpoint is not None:
            self._resumed = True
            self.epoch_done = checkpoints.epoch_of(checkpoint)
            model = ultralytics.YOLO(checkpoints.restore(checkpoint, self._out / "weights"))
            checkpoints.trim_csv(self._out / "results.csv", self.epoch_done)
            # All else stands in the checkpoint. save_dir only matters (and only works) where the folder was moved.
            arguments = {name: arguments[name] for name in ("data", "device")}
            arguments |= {"resume": True, "save_dir": str(self._out.absolute())}
        else:
            shutil.rmtree(self._out, ignore_errors=True)  # of an attempt that did not reach its first checkpoint
            model = load(spec["model"], spec["task"])
        for name in (
            "on_train_start",
            "on_train_epoch_start",
            "on_train_batch_end",
            "on_model_save",
            "on_fit_epoch_end",
        ):
            model.add_callback(name, getattr(self, name))
        model.train(**arguments)
        self._tell_end(model.trainer)

    def on_train_start(self, trainer: Any) -> None:
        import torch
        import ultralytics

        self._log.append(
            "started",
            {
                "epoch": trainer.start_epoch + 1,
                "epochs": trainer.epochs,
                "resumed": self._resumed,
                "device": str(trainer.device),
                "seed": trainer.args.seed,
                "model": Path(self._spec["model"]).name,
                "parameters": sum(p.numel() for p in trainer.model.parameters()),
                "versions": {
                    "ultralytics": ultralytics.__version__,
                    "torch": torch.__version__,
                    "python": platform.python_version(),
                },
            },
        )
        final_eval = trainer.final_eval

        def final_eval_told() -> None:
            # No callback says that the last epoch is over, and final_eval counts itself as one more.
            self._finishing = True
            self._log.append("finishing", {"epoch": self.epoch_done})
            final_eval()

        trainer.final_eval = final_eval_told

    def on_train_epoch_start(self, _trainer: Any) -> None:
        self._batch = 0
        self._epoch_began = time.monotonic()

    def on_train_batch_end(self, trainer: Any) -> None:
        self._batch += 1
        if self._stop:
            raise StopAtBatchEnd
        now = time.monotonic()
        if now - self._told_at >= BATCH_EVENT_S:
            self._told_at = now
            batches = len(trainer.train_loader)
            data = {"epoch": trainer.epoch + 1, "batch": self._batch, "batches": batches, "loss": losses(trainer)}
            self._log.append("batch", data)

    def on_model_save(self, trainer: Any) -> None:
        # First the word, then the checkpoint: a kill between the two repeats an epoch, and never loses one.
        self._tell_epoch(trainer)
        checkpoints.keep_epoch(self._out / "weights", self._checkpoints, trainer.epoch + 1)

    def on_fit_epoch_end(self, trainer: Any) -> None:
        if not self._finishing:
            self._tell_epoch(trainer)  # where the epoch's model was not saved

    def _tell_epoch(self, trainer: Any) -> None:
        epoch = trainer.epoch + 1
        if epoch <= self.epoch_done:
            return
        self.epoch_done = epoch
        # Without a validation they are still those of an earlier epoch, or zeros.
        metrics = trainer.metrics or {} if trainer.args.val or trainer.stop else {}
        self._log.append(
            "epoch",
            {
                "epoch": epoch,
                "epochs": trainer.epochs,
                "loss": losses(trainer),
                "val_loss": {clean(key): value for key, value in metrics.items() if key.startswith("val/")},
                "metrics": figures(metrics),
                "lr": min(trainer.lr.values(), default=None),  # biases have a higher one while warming up
                "seconds": time.monotonic() - self._epoch_began,
            },
        )

    def _tell_end(self, trainer: Any) -> None:
        self._log.append(
            "finished",
            {
                "epochs": self.epoch_done,
                "metrics": figures(trainer.metrics or {}),
                "weights": "out/weights/best.pt",
                "seconds": time.monotonic() - self._began,
            },
        )


def load(model: str, task: str) -> Any:
    from ultralytics import YOLO

    try:
        return YOLO(model, task=task)
    except Exception as error:
        if model.endswith(".pt"):
            raise WeightsUnusable(f"{Path(model).name}: {error or type(error).__name__}") from error
        raise


def losses(trainer: Any) -> dict[str, Any]:
    """The running means of this epoch by name; newer versions keep a dictionary, older ones a tensor."""
    current = trainer.tloss
    if current is None:
        return {}
    if isinstance(current, dict):
        return {clean(name): float(value) for name, value in current.items()}
    values = current.tolist() if current.dim() else [float(current)]
    return dict(zip(trainer.loss_names, values, strict=False))


def figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """precision, recall, map50, map50_95 of boxes; those of outlines have `_mask` behind."""
    return {clean(key): value for key, value in metrics.items() if key.startswith("metrics/")}


def clean(key: str) -> str:
    """`metrics/mAP50-95(B)` -> `map50_95`, `metrics/recall(M)` -> `recall_mask`."""
    for prefix in PREFIXES:
        key = key.removeprefix(prefix)
    return key.removesuffix("(B)").replace("(M)", "_mask").replace("mAP", "map").replace("-", "_")
