"""What a run is: the rows of the store as typed values."""

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from cvatd.training.states import State


class Callback(StrEnum):
    """The messages that a caller gets."""

    STARTED = "training_started"
    PROGRESS = "training_progress"
    COMPLETED = "training_completed"
    FAILED = "training_failed"


@dataclass(frozen=True)
class Run:
    """One training. Epochs count from 1 for people; `epoch` is how many are finished."""

    id: int
    job_id: str
    base_model: str
    model_name: str | None
    dataset_url: str
    callback_url: str | None
    callback_token: str | None
    config: dict[str, Any]
    args: dict[str, Any]
    request_sha256: str
    state: State
    attempt: int
    worker: str | None
    losses: int
    events_offset: int
    event_seq: int
    epoch: int
    epochs: int
    progress: dict[str, Any]
    metrics: dict[str, float] | None
    dataset: dict[str, Any] | None
    versions: dict[str, Any] | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in row.items() if name in known}
        return cls(**{**values, "state": State(row["state"])})


@dataclass(frozen=True)
class Event:
    seq: int
    at: datetime
    type: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Artifact:
    name: str
    path: str
    size: int
    sha256: str
    content_type: str


@dataclass(frozen=True)
class NewRun:
    """An accepted request."""

    job_id: str
    request_sha256: str
    dataset_url: str
    callback_url: str | None
    callback_token: str | None
    base_model: str
    model_name: str | None
    config: dict[str, Any]
    args: dict[str, Any]
    epochs: int
