"""A run in a real store, and the parts around it."""

from collections.abc import Callable

import pytest

from cvatd.core.database import Pool
from cvatd.training import store
from cvatd.training.jobs import NewRun, Run

Insert = Callable[..., Run]


@pytest.fixture
def insert(pool: Pool) -> Insert:
    """Adds a queued run; keywords override what it asks for."""

    def add(job_id: str = "a", **values: object) -> Run:
        facts: dict[str, object] = {
            "job_id": job_id,
            "request_sha256": "x",
            "dataset_url": "https://example.com/d.zip",
            "callback_url": "https://example.com/hook",
            "callback_token": "secret",
            "base_model": "yolov8n.yaml",
            "model_name": None,
            "config": {"epochs": 3},
            "args": {"epochs": 3},
            "epochs": 3,
        }
        with pool.connection() as connection:
            run = store.insert(connection, NewRun(**{**facts, **values}))  # type: ignore[arg-type]
        assert run is not None
        return run

    return add
