"""What the page of a run is told, computed from its history."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cvatd.training.jobs import Artifact, Event, Run
from cvatd.training.states import State
from cvatd.web import views

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = Run(
    id=1, job_id="job", base_model="yolov8n.yaml", model_name=None, dataset_url="u", callback_url=None,
    callback_token=None, config={}, args={}, request_sha256="x", state=State.TRAINING, attempt=1, worker="w", losses=0,
    events_offset=0, event_seq=3, epoch=2, epochs=10, progress={}, metrics=None, dataset=None, versions=None,
    error_code=None, error_message=None, created_at=NOW - timedelta(minutes=5), started_at=NOW - timedelta(minutes=4),
    finished_at=None,
)  # fmt: skip


def epoch(number: int, **metrics: float | None) -> dict[str, Any]:
    return {
        "epoch": number,
        "epochs": 10,
        "loss": {"box_loss": 1.0},
        "val_loss": {},
        "metrics": metrics,
        "seconds": 4.0,
    }


def events(*epochs: dict[str, Any]) -> list[Event]:
    return [Event(number, NOW, "epoch", data) for number, data in enumerate(epochs, start=1)]


def test_progress_within_an_epoch_and_the_time_left() -> None:
    run = replace(RUN, progress={"stage": "training", "epoch": 3, "batch": 5, "batches": 10})
    view = views.view_run(run, events(epoch(1), epoch(2)), NOW)
    assert view.progress is not None
    assert view.progress.words == "Epoch 3 of 10"
    assert view.progress.share == pytest.approx(0.25)
    assert view.progress.left == "about 30 s left"
    assert view.elapsed_s == 240


def test_no_forecast_from_one_epoch() -> None:
    assert views.forecast([epoch(1)], 5) is None


def test_progress_of_a_download() -> None:
    stage = {"stage": "download", "done": 5_000_000, "total": 20_000_000, "unit": "bytes"}
    progress = views.progress_of(replace(RUN, state=State.PREPARING, progress=stage), [])
    assert progress is not None
    assert (progress.share, progress.left) == (0.25, "5.0 MB of 20.0 MB")


def test_the_best_epoch_is_that_of_best_pt() -> None:
    found = views.best_of([epoch(1, map50_95=0.3), epoch(2, map50_95=None), epoch(3, map50_95=0.2)])
    assert found is not None
    assert found["epoch"] == 1
    assert views.best_of([]) is None


@pytest.mark.parametrize("state", State)
def test_buttons(state: State) -> None:
    view = views.view_run(replace(RUN, state=state), [], NOW)
    assert view.can_cancel == (state.value not in {"completed", "failed", "cancelled", "cancelling"})
    assert view.can_resume == (state.value in {"failed", "cancelled"})


def test_labels_stand_beside_predictions() -> None:
    names = ["labels.jpg", "results.png", "val_batch0_labels.jpg", "val_batch0_pred.jpg", "val_batch1_labels.jpg"]
    pictures = views.pictures_of([Artifact(name, name, 1, "", "image/jpeg") for name in names])
    assert pictures.pairs == [("val_batch0_labels.jpg", "val_batch0_pred.jpg")]
    assert pictures.plots == ["results.png", "labels.jpg", "val_batch1_labels.jpg"]
