"""Every answer of the API is one that its description names."""

import socket
import threading
import time
from collections.abc import Iterator

import httpx
import hypothesis
import pytest
import schemathesis
import uvicorn
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from cvatd.core.settings import Settings
from cvatd.web.app import create_app
from tests.web.conftest import body

# Who is let in has tests of its own; whether a URL may be fetched, or a model is known, no schema can say.
NOT_HERE = [ignored_auth, positive_data_acceptance]
# Streams that follow a run do not end by themselves; they have tests of their own.
ENDLESS = "/runs/{id}/events"


@pytest.fixture
def served(settings: Settings) -> Iterator[str]:
    """The app behind a real server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_answers_are_as_described(served: str, token: str) -> None:
    headers = {"authorization": f"Bearer {token}"}
    httpx.post(f"{served}/train", json=body(), headers=headers)
    schema = schemathesis.openapi.from_url(f"{served}/openapi.json", headers=headers)
    checked = 0
    for operation in schema.exclude(path=ENDLESS).get_all_operations():

        @hypothesis.settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(operation.ok().as_strategy())
        def answer_fits(case: schemathesis.Case) -> None:
            nonlocal checked
            checked += 1
            answer = case.call(base_url=served, headers=headers)
            case.validate_response(answer, excluded_checks=NOT_HERE)

        answer_fits()
    assert checked > 100


def test_the_description_is_whole(client: TestClient) -> None:
    described = client.app.openapi()  # type: ignore[attr-defined]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), (method, path)
            assert set(operation["responses"]) & {"200", "202"}, (method, path)
            if path != "/health":
                assert "401" in operation["responses"], (method, path)
