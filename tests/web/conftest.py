"""The web face on real PostgreSQL and Redis, without a trainer: its description is given."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from cvatd.core import database, tokens
from cvatd.core.settings import Settings
from cvatd.training.description import fingerprint
from cvatd.web.app import create_app
from tests.training.describing import DESCRIPTION

MakeClient = Callable[..., TestClient]


@pytest.fixture
def settings(tmp_path: Path, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CVATD_CONFIG", "")
    monkeypatch.chdir(tmp_path)
    made = Settings(data_dir=tmp_path, database_url=database_url, redis_url=redis_url, urls={"allow": ["127.0.0.0/8"]})
    description = {"key": fingerprint(made.trainer.python), "description": DESCRIPTION.model_dump()}
    (tmp_path / "trainer.json").write_text(json.dumps(description))
    return made


@pytest.fixture
def anonymous(settings: Settings) -> Iterator[TestClient]:
    """Knows no token."""
    with TestClient(create_app(settings), raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.fixture
def token(settings: Settings) -> str:
    with database.connect(settings.database_url) as connection:
        return tokens.create(connection, "test")


@pytest.fixture
def client(anonymous: TestClient, token: str) -> TestClient:
    """Calls with a token."""
    anonymous.headers["authorization"] = f"Bearer {token}"
    return anonymous


def body(**values: object) -> dict[str, object]:
    """A right request; keywords override."""
    return {
        "job_id": "a",
        "dataset_url": "http://127.0.0.1:1/d.zip",
        "base_model": "yolov8n.yaml",
        "config": {"epochs": 3, "batch_size": 4, "img_size": 96, "learning_rate": 0.01},
        **values,
    }
