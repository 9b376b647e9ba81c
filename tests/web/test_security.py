"""Who is let in, and from where."""

import re

import pytest
from fastapi.testclient import TestClient

from cvatd.core import database, tokens
from cvatd.core.errors import CvatdError
from cvatd.core.settings import Settings
from cvatd.web.app import create_app
from tests.web.conftest import body

HTML = {"accept": "text/html"}


def test_every_route_but_health_needs_a_token(anonymous: TestClient) -> None:
    paths = anonymous.app.openapi()["paths"]  # type: ignore[attr-defined]
    pages = {
        "/training": ["get"],
        "/training/{id}": ["get"],
        "/training/{id}/cancel": ["post"],
        "/openapi.json": ["get"],
    }
    for path, methods in {**{p: list(m) for p, m in paths.items()}, **pages}.items():
        for method in methods:
            answer = anonymous.request(method, path.replace("{id}", "1").replace("{name}", "x"))
            assert answer.status_code == (401 if path != "/health" else answer.status_code), path
    assert anonymous.get("/health").status_code in {200, 503}


def test_a_wrong_or_revoked_token_is_told_apart_from_none(client: TestClient, token: str, settings: Settings) -> None:
    assert client.get("/runs").status_code == 200
    with database.connect(settings.database_url) as connection:
        tokens.revoke(connection, token.split("_")[1])
    answer = client.get("/runs")
    assert answer.status_code == 401
    assert "revoked" in answer.json()["detail"]
    assert answer.headers["www-authenticate"] == "Bearer"


def sign_in(anonymous: TestClient, token: str) -> str:
    """The CSRF word of a signed-in browser."""
    answer = anonymous.post("/signin", data={"token": token}, headers=HTML)
    assert answer.status_code == 303
    assert "httponly" in answer.headers["set-cookie"].lower()
    found = re.search(r'name="csrf_token" value="([^"]+)"', anonymous.get("/training", headers=HTML).text)
    assert found
    return found[1]


def test_a_browser_signs_in_acts_and_signs_out(anonymous: TestClient, token: str) -> None:
    assert anonymous.get("/training", headers=HTML).headers["location"] == "/signin"
    assert anonymous.post("/signin", data={"token": "wrong"}, headers=HTML).status_code == 401
    csrf = sign_in(anonymous, token)
    bearer = {"authorization": f"Bearer {token}"}
    anonymous.post("/train", json=body(), headers=bearer)
    assert anonymous.post("/training/1/cancel", headers=HTML).status_code == 403, "no CSRF word"
    assert anonymous.post("/training/1/cancel", data={"csrf_token": "x"}, headers=HTML).status_code == 403
    assert anonymous.post("/training/1/cancel", data={"csrf_token": csrf}, headers=HTML).status_code == 303
    assert anonymous.get("/runs/1").json()["state"] == "cancelled"
    assert anonymous.post("/signout", data={"csrf_token": csrf}, headers=HTML).status_code == 303
    assert anonymous.get("/runs").status_code == 401


def test_a_session_writes_to_the_api_with_its_csrf_word_alone(anonymous: TestClient, token: str) -> None:
    csrf = sign_in(anonymous, token)
    assert anonymous.post("/train", json=body()).status_code == 403
    # A form cannot be used to get around the header.
    assert anonymous.post("/runs/1/cancel", data={"x": "y"}).status_code == 403
    assert anonymous.post("/train", json=body(), headers={"x-csrf-token": csrf}).status_code == 202
    foreign = {"x-csrf-token": csrf, "origin": "https://evil.example"}
    assert anonymous.post("/train", json=body(job_id="b"), headers=foreign).status_code == 403


def dev(settings: Settings) -> TestClient:
    return TestClient(create_app(settings.model_copy(update={"auth": False})), follow_redirects=False)


def test_dev_serves_this_machine_alone(settings: Settings) -> None:
    with dev(settings) as client:
        assert client.get("/runs").status_code == 200
        assert client.get("/runs", headers={"host": "evil.example"}).status_code == 403
        foreign = {"origin": "https://evil.example"}
        assert client.post("/train", json=body(), headers=foreign).status_code == 403
        assert client.post("/train", json=body(), headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert client.post("/train", json=body()).status_code == 202


def test_without_sign_in_only_loopback_is_served(settings: Settings) -> None:
    with pytest.raises(CvatdError, match="loopback"):
        create_app(settings.model_copy(update={"auth": False, "host": "0.0.0.0"}))


# What proxies say of who calls. Whoever reaches the port can say it, too.
IDENTITY = {
    "tailscale-user-login": "admin@example.com",
    "tailscale-user-name": "admin",
    "x-forwarded-user": "admin",
    "x-forwarded-for": "127.0.0.1",
    "x-remote-user": "admin",
    "remote-user": "admin",
}


@pytest.mark.parametrize("name", IDENTITY)
def test_nobody_is_let_in_for_what_a_header_says(anonymous: TestClient, name: str) -> None:
    said = {name: IDENTITY[name]}
    for path in ("/runs", "/deliveries", "/openapi.json"):
        assert anonymous.get(path, headers=said).status_code == 401, path
    assert anonymous.post("/train", json=body(), headers=said).status_code == 401
    assert anonymous.get("/training", headers=HTML | said).headers["location"] == "/signin"


def test_every_answer_forbids_foreign_scripts(anonymous: TestClient) -> None:
    for path in ("/health", "/signin", "/runs"):
        assert anonymous.get(path).headers["content-security-policy"].startswith("default-src 'self'")


def test_a_store_that_is_away_is_said_so(client: TestClient) -> None:
    client.app.state.sessions._pool.close()  # type: ignore[attr-defined]
    for path in ("/runs", "/training", "/runs/1/events"):
        answer = client.get(path)
        assert answer.status_code == 503, path
        assert answer.json()["code"] == "store_away"
        assert answer.headers["retry-after"] == "5"
    health = client.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
