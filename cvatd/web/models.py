"""The bodies of the HTTP API: what programs read."""

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field

from cvatd.core.outbox import Delivery
from cvatd.training import jobs

Metrics = dict[str, float | None]


class Health(BaseModel):
    status: Literal["healthy", "starting", "unhealthy"] = Field(examples=["healthy"])
    device: str | None = Field(description="What trainings run on.", examples=["cuda", "cpu"])
    ultralytics_version: str | None = Field(examples=["8.4.190"])
    detail: str | None = Field(default=None, description="What is wrong, when something is.")


class TrainInfo(BaseModel):
    service: str = "YOLO Training Service"
    status: str = "ready"
    endpoint: str = "/train"
    method: str = "POST"
    message: str = "Service is running. Use POST method to start training job."


class Accepted(BaseModel):
    success: bool = True
    job_id: str = Field(examples=["6f1c2a9e-parking-lot"])
    message: str = "Training started"


class Run(BaseModel):
    """A training. Times are UTC; epochs count from 1."""

    id: int = Field(description="This service's own number for the run.", examples=[42])
    job_id: str = Field(description="The caller's name for it.", examples=["6f1c2a9e-parking-lot"])
    model_name: str | None
    base_model: str = Field(examples=["yolov8n.yaml"])
    dataset_url: str
    callback_url: str | None
    config: dict[str, Any] = Field(description="As the caller sent it.")
    args: dict[str, Any] = Field(description="As Ultralytics gets it.")
    state: str = Field(
        description="queued, preparing, training, finishing, interrupted, cancelling, completed, failed or cancelled.",
        examples=["training"],
    )
    attempt: int = Field(description="How often a worker has taken it up.")
    epoch: int = Field(description="Finished epochs.", examples=[3])
    epochs: int = Field(description="Epochs to be done.", examples=[100])
    progress: dict[str, Any] = Field(description="The stage in hand: download, unpack, check, link or training.")
    metrics: Metrics | None = Field(
        description="On the validation images: precision, recall, map50, map50_95, each from 0 to 1.",
        examples=[{"precision": 0.91, "recall": 0.88, "map50": 0.93, "map50_95": 0.71}],
    )
    dataset: dict[str, Any] | None
    versions: dict[str, Any] | None = Field(description="What it was trained with, and the seed.")
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, run: jobs.Run) -> Self:
        return cls.model_validate({name: getattr(run, name) for name in cls.model_fields})


class RunList(BaseModel):
    runs: list[Run]
    next_before: int | None = Field(description="Give this as `before` for the next, older page; null at the end.")


class Event(BaseModel):
    seq: int = Field(description="Grows within a run; not without gaps.")
    at: datetime
    type: str = Field(examples=["epoch"])
    data: dict[str, Any]


class Artifact(BaseModel):
    name: str = Field(examples=["best.pt"])
    size: int = Field(description="Bytes.", examples=[6_234_567])
    sha256: str
    content_type: str
    url: str = Field(description="Path on this service.", examples=["/runs/42/artifacts/best.pt"])


class ArtifactList(BaseModel):
    artifacts: list[Artifact]


class DeliveryModel(BaseModel):
    """A callback on its way, delivered, or given up."""

    id: UUID = Field(description="The `webhook-id`, the same at each attempt.")
    run: int
    type: str = Field(examples=["training_progress"])
    state: str = Field(description="pending, delivered, superseded (by newer progress) or failed (given up).")
    attempts: int
    next_at: datetime
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        values = {name: getattr(delivery, name) for name in cls.model_fields if name != "run"}
        return cls.model_validate(values | {"run": delivery.job})


class DeliveryList(BaseModel):
    deliveries: list[DeliveryModel]
    next_before: int | None
