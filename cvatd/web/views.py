"""What the page of a run shows, computed from the run and its history. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cvatd.training.jobs import Artifact, Event, Run
from cvatd.training.states import ENDED, WORKED_ON, State
from cvatd.web import chart, words
from cvatd.web.chart import Chart, Series

FEW = 2  # epochs before a forecast is worth anything


@dataclass(frozen=True)
class Progress:
    words: str
    share: float | None  # from 0 to 1; None: nobody knows how far
    left: str


@dataclass(frozen=True)
class RunView:
    """A run as its page shows it."""

    run: Run
    title: str
    progress: Progress | None
    charts: list[Chart]
    epochs: list[dict[str, Any]]
    best: dict[str, Any] | None
    elapsed_s: float | None
    can_cancel: bool
    can_resume: bool
    ended: bool


def view_run(run: Run, events: list[Event], now: datetime | None = None) -> RunView:
    now = now or datetime.now(UTC)
    epochs = [event.data for event in events if event.type == "epoch"]
    return RunView(
        run=run,
        title=run.model_name or run.job_id,
        progress=progress_of(run, epochs),
        charts=charts_of(epochs),
        epochs=epochs,
        best=best_of(epochs),
        elapsed_s=((run.finished_at or now) - run.started_at).total_seconds() if run.started_at else None,
        can_cancel=run.state not in ENDED and run.state is not State.CANCELLING,
        can_resume=run.state in {State.FAILED, State.CANCELLED},
        ended=run.state in ENDED,
    )


def progress_of(run: Run, epochs: list[dict[str, Any]]) -> Progress | None:
    """What is going on, how far it is, and how long it will take."""
    if run.state not in WORKED_ON:
        return None
    stage = run.progress
    name = str(stage.get("stage", ""))
    if run.state is State.TRAINING:
        share_of_epoch = 0.0
        if stage.get("epoch") == run.epoch + 1 and stage.get("batches"):
            share_of_epoch = stage["batch"] / stage["batches"]
        done = run.epoch + share_of_epoch
        left_s = forecast(epochs, run.epochs - done)
        left = f"about {words.duration(left_s)} left" if left_s is not None else ""
        return Progress(f"Epoch {min(run.epoch + 1, run.epochs)} of {run.epochs}", done / max(run.epochs, 1), left)
    if run.state is State.PREPARING and name in words.STAGES and "done" in stage:
        total = stage.get("total")
        share = stage["done"] / total if total else None
        return Progress(words.STAGES[name], share, words.amount(stage["done"], total, stage["unit"]))
    return Progress(words.MEANINGS.get(run.state, "Getting ready"), None, "")


def forecast(epochs: list[dict[str, Any]], epochs_left: float) -> float | None:
    """Seconds until the last epoch is done, by the median of the last ten; None before there are enough."""
    seconds = sorted(epoch["seconds"] for epoch in epochs[-10:] if epoch.get("seconds"))
    return float(seconds[len(seconds) // 2] * epochs_left) if len(seconds) >= FEW else None


def best_of(epochs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The epoch with the highest mAP50-95, as Ultralytics chooses best.pt."""
    known = [epoch for epoch in epochs if epoch.get("metrics", {}).get("map50_95") is not None]
    return max(known, key=lambda epoch: float(epoch["metrics"]["map50_95"]), default=None)


def charts_of(epochs: list[dict[str, Any]]) -> list[Chart]:
    """Metrics on one chart, each loss on one of its own with train and val."""

    def column(group: str, name: str) -> list[float | None]:
        return [epoch.get(group, {}).get(name) for epoch in epochs]

    metrics = [
        Series("mAP50", "m1", column("metrics", "map50")),
        Series("mAP50-95", "m2", column("metrics", "map50_95")),
        Series("precision", "m3", column("metrics", "precision")),
        Series("recall", "m4", column("metrics", "recall")),
    ]
    drawn = [chart.draw("Metrics on the validation images", metrics, top_value=1.0)]
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch.get("loss", {})))
    for name in names:
        lines = [Series("train", "train", column("loss", name)), Series("val", "val", column("val_loss", name))]
        drawn.append(chart.draw(name.replace("_", " "), lines))
    return [one for one in drawn if one is not None]


@dataclass(frozen=True)
class Pictures:
    """The pictures of a run: labels beside predictions, then Ultralytics' plots."""

    pairs: list[tuple[str, str]]
    plots: list[str]


def pictures_of(artifacts: list[Artifact]) -> Pictures:
    names = [artifact.name for artifact in artifacts if artifact.content_type.startswith("image/")]
    pairs = [
        (name, name.replace("_labels.", "_pred."))
        for name in names
        if name.startswith("val_batch") and "_labels." in name and name.replace("_labels.", "_pred.") in names
    ]
    paired = {name for pair in pairs for name in pair}
    order = ("results", "confusion", "Box", "Mask", "labels", "train_batch")
    plots = sorted(
        (name for name in names if name not in paired),
        key=lambda name: (next((i for i, start in enumerate(order) if name.startswith(start)), len(order)), name),
    )
    return Pictures(pairs, plots)
