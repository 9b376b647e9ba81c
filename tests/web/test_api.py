"""The API of the seed, to the letter, and what stands beyond it."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from cvatd.core import database
from cvatd.core.settings import Settings
from cvatd.training import callbacks, store
from cvatd.training.jobs import Artifact
from tests.web.conftest import body


def test_health_needs_no_token(anonymous: TestClient) -> None:
    import time

    for _ in range(50):
        answer = anonymous.get("/health")
        if answer.status_code == 200:
            break
        time.sleep(0.1)
    assert answer.json() == {"status": "healthy", "device": "cpu", "ultralytics_version": "8.4.190"}


def test_get_train_as_the_seed_has_it(client: TestClient) -> None:
    assert client.get("/train").json() == {
        "service": "YOLO Training Service",
        "status": "ready",
        "endpoint": "/train",
        "method": "POST",
        "message": "Service is running. Use POST method to start training job.",
    }


def test_post_train_as_the_seed_has_it(client: TestClient) -> None:
    answer = client.post("/train", json=body(job_id="uuid-do-job"))
    assert answer.status_code == 202
    assert answer.json() == {"success": True, "job_id": "uuid-do-job", "message": "Training started"}
    run = client.get(answer.headers["location"]).json()
    assert run["state"] == "queued"
    assert run["args"] == {"epochs": 3, "batch": 4, "imgsz": 96, "lr0": 0.01, "optimizer": "SGD"}


def test_the_same_request_is_the_same_run_and_another_is_a_conflict(client: TestClient) -> None:
    first = client.post("/train", json=body())
    again = client.post("/train", json=body())
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.headers["location"] == again.headers["location"]
    other = client.post("/train", json=body(config={"epochs": 4}))
    assert other.status_code == 409
    assert other.json()["code"] == "job_id_taken"
    assert len(client.get("/runs").json()["runs"]) == 1


BAD = {
    "epochs=0": ({"config": {"epochs": 0}}, "epochs"),
    "batch=-5": ({"config": {"batch_size": -5}}, "batch_size"),
    "unknown argument": ({"config": {"epoch": 5}}, "config.epoch "),
    "wrong type": ({"config": {"epochs": "many"}}, "epochs"),
    "file system": ({"config": {"project": "/etc"}}, "project"),
    "unknown model": ({"base_model": "resnet"}, "resnet"),
    "long job_id": ({"job_id": "x" * 10_000}, "job_id"),
    "no job_id": ({"job_id": ""}, "job_id"),
    "metadata service": ({"dataset_url": "http://169.254.169.254/x.zip"}, "169.254.169.254"),
    "shared range": ({"dataset_url": "http://100.64.0.1/x.zip"}, "100.64.0.1"),
    "loopback v6": ({"callback_url": "http://[::1]/"}, "::1"),
    "no scheme": ({"dataset_url": "ftp://example.com/x.zip"}, "ftp"),
    "file outside": ({"dataset_url": "file:///etc/passwd"}, "/etc/passwd"),
    "unknown key": ({"color": "red"}, "color"),
    "NUL": ({"job_id": "a\x00b"}, "job_id"),
}


@pytest.mark.parametrize(("values", "word"), BAD.values(), ids=BAD.keys())
def test_bad_requests_are_refused_in_words_and_leave_nothing(
    client: TestClient, values: dict[str, object], word: str
) -> None:
    answer = client.post("/train", json=body(**values))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 422
    assert word in json.dumps(problem)
    assert client.get("/runs").json()["runs"] == []


def test_all_faults_of_a_config_are_named_at_once(client: TestClient) -> None:
    problem = client.post("/train", json=body(config={"epochs": 0, "foo": 1, "project": "x"})).json()
    assert {fault["field"] for fault in problem["errors"]} == {"config.epochs", "config.foo", "config.project"}


def test_a_body_of_100_mb_is_refused_before_it_is_read(client: TestClient) -> None:
    def endless() -> object:
        for _ in range(100):
            yield b"x" * (1 << 20)

    for content in (b"x" * (2 << 20), endless()):
        answer = client.post("/train", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["code"] == "too_large"


def test_cancel_and_resume(client: TestClient) -> None:
    where = client.post("/train", json=body()).headers["location"]
    assert client.post(f"{where}/cancel").json()["state"] == "cancelled"
    assert client.post(f"{where}/cancel").status_code == 200
    assert client.post(f"{where}/resume").json()["state"] == "queued"
    refused = client.post(f"{where}/resume")
    assert refused.status_code == 409
    assert "queued" in refused.json()["detail"]


def test_unknown_things_are_404_in_words(client: TestClient) -> None:
    for path in ("/runs/99", "/runs/99/events", "/runs/99/artifacts", "/runs/99/artifacts/best.pt", "/nothing"):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["detail"]


def events_of(client: TestClient, path: str, **headers: str) -> list[tuple[str | None, str]]:
    """(id, type) of each event of a stream that ends by itself."""
    found: list[tuple[str | None, str]] = []
    number = None
    kind = ""
    with client.stream("GET", path, headers=headers) as answer:
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = value
            elif name == "event":
                kind = value
            elif not line and kind:
                found.append((number, kind))
                number, kind = None, ""
    return found


def test_events_go_on_behind_the_last_one_seen(client: TestClient) -> None:
    where = client.post("/train", json=body()).headers["location"]
    client.post(f"{where}/cancel")
    everything = events_of(client, f"{where}/events")
    assert [kind for _, kind in everything] == ["accepted", "cancelled", "progress", "end"]
    last = everything[0][0]
    assert last is not None
    rest = events_of(client, f"{where}/events", **{"last-event-id": last})
    assert [kind for _, kind in rest] == ["cancelled", "progress", "end"]


def add_model(settings: Settings, run_id: int, content: bytes) -> Artifact:
    artifact = Artifact("best.pt", "out/weights/best.pt", len(content), "0" * 64, "application/octet-stream")
    file = settings.runs_dir / str(run_id) / artifact.path
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with database.connect(settings.database_url) as connection:
        store.put_artifact(connection, store.get(connection, run_id), artifact)
    return artifact


def test_a_signed_link_fetches_one_file_without_a_token(client: TestClient, settings: Settings, tmp_path: Path) -> None:
    client.post("/train", json=body())
    add_model(settings, 1, b"weights")
    key = (tmp_path / "secrets" / "signing.key").read_text().strip()
    with database.connect(settings.database_url) as connection:
        run = store.get(connection, 1)
    link = callbacks.signed_url(settings, key, run.id, "best.pt").removeprefix(settings.base_url)
    del client.headers["authorization"]
    assert client.get(link).content == b"weights"
    assert client.get("/runs/1/artifacts/best.pt").status_code == 401
    assert client.get(link.replace("best.pt", "last.pt")).status_code == 401
    assert client.post(link).status_code == 401


def test_names_of_artifacts_are_no_paths(client: TestClient, settings: Settings) -> None:
    client.post("/train", json=body())
    add_model(settings, 1, b"x")
    for name in ("../../../../etc/passwd", "..%2f..%2fspec.json", "%2e%2e", "spec.json"):
        assert client.get(f"/runs/1/artifacts/{name}").status_code == 404
    assert [f["name"] for f in client.get("/runs/1/artifacts").json()["artifacts"]] == ["best.pt"]


def test_deliveries_are_listed_and_replayed(client: TestClient) -> None:
    where = client.post("/train", json=body(callback_url="http://127.0.0.1:1/")).headers["location"]
    client.post(f"{where}/cancel")
    (delivery,) = client.get("/deliveries").json()["deliveries"]
    assert delivery["type"] == "training_failed"
    assert client.post(f"/deliveries/{delivery['id']}/replay").status_code == 409
    assert client.get("/deliveries?state=failed").json()["deliveries"] == []
    assert client.get("/deliveries?state=lost").status_code == 422


def test_no_answer_shows_the_callback_token(client: TestClient) -> None:
    request = body(callback_url="http://127.0.0.1:1/", callback_token="hush-hush")
    where = client.post("/train", json=request).headers["location"]
    for path in (where, "/runs", "/training/1", "/deliveries"):
        assert "hush-hush" not in client.get(path).text
