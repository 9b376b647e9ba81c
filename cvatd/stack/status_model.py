"""The answer of `cvatd status`, as the daemon serves it and JSON shows it. Imports little: every look pays for it."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Health = Literal["healthy", "unhealthy", "unknown"]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class ContainerStatus(Model):
    """`since` is when the state began (Unix seconds). `restarts` is None where nobody counts them."""

    name: str
    state: str
    health: Health
    words: str
    since: float | None
    restarts: int | None
    image: str
    version: str | None
    exit_code: int | None
    stopped_by_hand: bool


class VersionsStatus(Model):
    """`data` is the release that the data on disk belong to."""

    cvat: str
    data: str | None
    postgres: str | None
    redis: str | None


class InitStatus(Model):
    state: Literal["done", "unmigrated", "no_database", "unknown"]
    words: str


class QueueStatus(Model):
    """`lacks` says what the queue's workers lack; empty when all listen."""

    name: str
    container: str | None
    queued: int
    started: int
    failed: int
    workers: int
    lacks: str


class WorkerStatus(Model):
    """`silent_s` is the time since its last sign of life; None where it never gave a readable one."""

    hostname: str
    queues: list[str]
    state: str
    silent_s: float | None


class UsageStatus(Model):
    """Bytes, and seconds of processor time since the cgroup was made; a limit is None where there is none."""

    parent: str
    memory: int
    memory_max: int | None
    memory_high: int | None
    memory_percent: int | None
    cpu_s: float
    cpu_limit_percent: int | None
    oom_kills: int
    under_pressure: bool


class DiskStatus(Model):
    """Of the file system of the data folder, in bytes. CVAT locks people out above 90 percent."""

    total: int
    free: int
    used_percent: float


class Status(Model):
    """`reasons` say why CVAT is not ready; empty when it is. `at` is when all this was so (Unix seconds)."""

    data_dir: Path
    at: float
    url: str
    ready: bool
    wanted: bool
    reasons: list[str]
    containers: list[ContainerStatus]
    versions: VersionsStatus
    initialised: InitStatus
    queues: list[QueueStatus]
    queues_fault: str
    workers: list[WorkerStatus]
    usage: UsageStatus | None
    disk: DiskStatus | None
    warnings: list[str]
