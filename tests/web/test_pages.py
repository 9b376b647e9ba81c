"""The pages on a real store: every state, hostile names, no data."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from cvatd.core import database
from cvatd.core.settings import Settings
from cvatd.training import states, store
from cvatd.training.states import State
from tests.web.conftest import body

HTML = {"accept": "text/html"}
HOSTILE = "<script>alert(1)</script>\"'&" + "x" * 150


def test_the_empty_list_says_what_to_do(client: TestClient) -> None:
    page = client.get("/training", headers=HTML).text
    assert "No runs yet" in page
    assert "cvatd train submit" in page


def test_a_filter_that_fits_nothing_leads_back(client: TestClient) -> None:
    client.post("/train", json=body())
    assert "Show all 1 runs" in client.get("/training?state=failed", headers=HTML).text
    assert client.get("/training?state=nonsense&q=%00", headers=HTML).status_code == 200


def test_hostile_names_are_shown_as_text(client: TestClient) -> None:
    client.post("/train", json=body(job_id=HOSTILE, model_name=HOSTILE))
    for path in ("/training", "/training/1", f"/training?q={HOSTILE}"):
        page = client.get(path, headers=HTML).text
        assert "<script>alert" not in page
    assert "&lt;script&gt;" in client.get("/training/1", headers=HTML).text


def test_sixty_runs_make_two_pages(client: TestClient) -> None:
    for number in range(60):
        client.post("/train", json=body(job_id=f"job-{number}"))
    first = client.get("/training", headers=HTML).text
    assert "job-59" in first
    assert "job-9<" not in first
    second = client.get("/training?before=11", headers=HTML).text
    assert "job-9<" in second
    assert "older runs" not in second


@pytest.mark.parametrize("state", State)
def test_a_run_in_every_state_has_a_page(client: TestClient, settings: Settings, state: State) -> None:
    client.post("/train", json=body(callback_url="http://127.0.0.1:1/"))
    with database.connect(settings.database_url) as connection:
        connection.execute(
            "UPDATE jobs SET state = %s, error_message = 'It broke.', error_code = 'broken', finished_at = "
            "CASE WHEN %s THEN now() END",
            (state, state in states.ENDED),
        )
        store.append_event(connection, 1, "epoch", {"epoch": 1, "epochs": 3, "loss": {"box_loss": 2}, "metrics": {}})
    for path in ("/training", "/training/1", "/training/1?part=live", "/training/1/metrics.csv"):
        answer = client.get(path, headers=HTML)
        assert answer.status_code == 200
        assert "broken" not in answer.text or state is State.FAILED
    assert state.value in client.get("/training/1", headers=HTML).text


def test_the_log_is_shown_without_its_colours(client: TestClient, settings: Settings) -> None:
    client.post("/train", json=body())
    log = settings.runs_dir / "1" / "trainer.log"
    log.parent.mkdir(parents=True)
    log.write_text("first\n\x1b[34mblue\x1b[0m <b>\n10%\r50%\r100%\n")
    page = client.get("/training/1", headers=HTML).text
    assert "blue &lt;b&gt;\n100%" in page
    assert "50%" not in page


def test_metrics_as_csv(client: TestClient, settings: Settings) -> None:
    client.post("/train", json=body())
    with database.connect(settings.database_url) as connection:
        for number in (1, 2):
            data = {"epoch": number, "loss": {"box_loss": 0.5}, "metrics": {"map50": 0.25}, "lr": 0.1, "seconds": 3}
            store.append_event(connection, 1, "epoch", data)
    lines = client.get("/training/1/metrics.csv").text.splitlines()
    assert lines == ["epoch,train/box_loss,map50,lr,seconds", "1,0.5,0.25,0.1,3", "2,0.5,0.25,0.1,3"]


def test_errors_are_pages_for_people_and_problems_for_programs(client: TestClient) -> None:
    for path in ("/training/99", "/nothing"):
        page = client.get(path, headers=HTML)
        assert page.status_code == 404
        assert "<h1>" in page.text
        assert json.loads(client.get(path).text)["status"] == 404


def test_static_files_are_there(client: TestClient) -> None:
    import cvatd.web

    for file in (Path(cvatd.web.__file__).parent / "static").iterdir():
        assert client.get(f"/static/{file.name}").status_code == 200
