"""Which request goes where, what is answered while CVAT is not there, and the headers that are added."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from cvatd.core.settings import StackSettings
from cvatd.stack.layout import proxy_configuration, proxy_parameters
from cvatd.stack.spec import stack_file
from tests.stack.proxy.conftest import Site
from tests.stack.proxy.servers import BOUND_S, Handler, Proxy, running

SERVER, UI = "cvat-server", "cvat-ui"
ROUTES = {
    "/api/server/about": SERVER,
    "/api/schema/?format=json": SERVER,
    "/api/docs/": SERVER,
    "/api/requests/action=export&target=task&id=1@x": SERVER,
    "/static/admin/css/base.css": SERVER,
    "/admin": SERVER,
    "/admin/auth/user/": SERVER,
    "/django-rq": SERVER,
    "/django-rq/queues/0/": SERVER,
    "/": UI,
    "/tasks/1/jobs/2?frame=3": UI,
    "/auth/login": UI,
    "/assets/app.js": UI,
    "/api": UI,  # as in CVAT's own rules: only what is below
    "/apix": UI,
    "/static": UI,
    "/data/1/2.zip": UI,
    "/tasks/1/analytics": UI,
    # Whoever climbs out of a prefix does not stay with the server.
    "/api/../data/1": UI,
    "/api/%2e%2e/data/1": UI,
}


@pytest.mark.parametrize(("path", "who"), ROUTES.items())
def test_each_path_reaches_its_server_as_it_was_written(site: Site, path: str, who: str) -> None:
    seen = site.proxy.seen(path)
    assert (seen.who, seen.path) == (who, path)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_passes(site: Site, method: str) -> None:
    assert site.proxy.seen("/api/tasks", method).method == method


def test_encoded_paths_and_queries_stay_as_they_are(site: Site) -> None:
    path = "/api/requests/action%3Dexport%26id%3D1?filter=%7B%22and%22%3A%5B%5D%7D&q=a+b%20c"
    assert site.proxy.seen(path).path == path


def test_a_filter_of_12_kb_passes(site: Site) -> None:
    path = "/api/jobs?filter=" + "x" * 12_000
    assert site.proxy.seen(path).path == path


def test_analytics_are_no_part_of_this(site: Site) -> None:
    response, body = site.proxy.ask("/analytics/")
    assert (response.status, b"not part" in body) == (404, True)
    assert not site.server.requests
    assert not site.ui.requests


def test_the_proxy_answers_for_its_own_health(site: Site) -> None:
    response, body = site.proxy.ask("/proxy-health")
    assert (response.status, body) == (200, b"ok")


ADDED = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Frame-Options": "DENY",
}


@pytest.mark.parametrize("path", ["/", "/api/x", "/admin", "/analytics", "/proxy-health"])
def test_missing_security_headers_are_added(site: Site, path: str) -> None:
    response, _ = site.proxy.ask(path)
    for name, value in ADDED.items():
        assert response.headers.get_all(name) == [value]


@pytest.mark.parametrize("path", ["/", "/api/x", "/admin"])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_what_cvat_says_stands(site: Site, path: str, status: int) -> None:
    def answer(handler: Handler) -> None:
        handler.reply(status, X_Content_Type_Options="own", Referrer_Policy="no-referrer", X_Frame_Options="SAMEORIGIN")

    site.server.answer = site.ui.answer = answer
    response, _ = site.proxy.ask(path)
    assert response.status == status
    assert response.headers.get_all("X-Content-Type-Options") == ["own"]
    assert response.headers.get_all("Referrer-Policy") == ["no-referrer"]
    assert response.headers.get_all("X-Frame-Options") == ["SAMEORIGIN"]


def test_the_version_of_nginx_is_nobodys_business(site: Site) -> None:
    response, _ = site.proxy.ask("/analytics")
    assert response.headers["Server"] == "nginx"


@pytest.mark.parametrize("path", ["/admin/", "/api/x", "/"])
def test_an_answer_with_16_kb_of_headers_passes(site: Site, path: str) -> None:
    """Django's admin keeps its messages in cookies."""
    site.server.answer = site.ui.answer = lambda handler: handler.reply(
        200, b"x", **{"Set-Cookie": "m=" + "x" * 16_000}
    )
    response, body = site.proxy.ask(path)
    assert (response.status, body) == (200, b"x")
    assert len(response.headers["Set-Cookie"]) > 16_000


@pytest.mark.parametrize("path", ["/api/x", "/admin/", "/"])
def test_an_application_cannot_send_nginx_to_other_places(site: Site, path: str) -> None:
    """Neither CVAT nor what speaks through it may read past this proxy's rules."""
    site.server.answer = site.ui.answer = lambda handler: handler.reply(
        200, b"own", X_Accel_Redirect="/proxy-health", X_Accel_Limit_Rate="1"
    )
    response, body = site.proxy.ask(path)
    assert (response.status, body) == (200, b"own")
    assert "X-Accel-Redirect" not in response.headers


@pytest.mark.parametrize("path", ["/api/server/health/", "/admin/", "/tasks"])
def test_a_503_of_cvat_passes_as_it_is(site: Site, path: str) -> None:
    site.server.answer = site.ui.answer = lambda handler: handler.reply(503, b"migrating", Retry_After="77")
    response, body = site.proxy.ask(path)
    assert (response.status, body, response.headers["Retry-After"]) == (503, b"migrating", "77")


def check_starting(proxy: Proxy, method: str = "GET") -> None:
    """Words in the format that each kind of caller reads, and when to come again."""
    api, words = proxy.ask("/api/server/about", method, headers={"Accept": "application/json"})
    assert (api.status, api.headers["Content-Type"]) == (502, "application/json")
    assert "starting" in json.loads(words)["detail"]
    page, html = proxy.ask("/tasks/1")
    assert (page.status, page.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert b"<h1>CVAT is starting</h1>" in html
    for response in (api, page):
        assert int(response.headers["Retry-After"]) > 0
        assert response.headers["Cache-Control"] == "no-store"
        for name, value in ADDED.items():
            assert response.headers.get_all(name) == [value]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_it_starts_without_anybody_behind_it_and_finds_who_comes(tmp_path: Path) -> None:
    with running() as proxy:
        assert not proxy.dns.names
        check_starting(proxy)
        check_starting(proxy, "POST")
        assert proxy.ask("/proxy-health")[0].status == 200
        proxy.dns.names |= {SERVER: "127.0.0.1", UI: "127.0.0.1"}  # the names are there, nobody listens
        check_starting(proxy)
        proxy.add(SERVER)
        proxy.add(UI)
        assert proxy.seen("/api/x").who == SERVER
        assert proxy.seen("/x").who == UI


def test_a_container_that_comes_back_with_another_address_is_found() -> None:
    with running() as proxy:
        first = proxy.add(SERVER)
        assert proxy.seen("/api/x").who == SERVER
        first.close()
        proxy.upstreams.remove(first)
        proxy.add(SERVER, "127.0.0.2")
        deadline = time.monotonic() + BOUND_S
        while proxy.ask("/api/x")[0].status != 200:
            assert time.monotonic() < deadline, proxy.log
            time.sleep(0.1)


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_error_from_within_is_the_same_to_the_visitor(site: Site, status: int) -> None:
    """CVAT's inner nginx says 502 while its application starts."""
    site.server.answer = site.ui.answer = lambda handler: handler.reply(
        status, b"<html>inner nginx</html>", X_Frame_Options="SAMEORIGIN"
    )
    response, body = site.proxy.ask("/api/x")
    assert (response.status, response.headers["Content-Type"]) == (status, "application/json")
    assert json.loads(body)["detail"]
    page, html = site.proxy.ask("/x")
    assert (page.status, b"CVAT is starting" in html) == (status, True)
    assert page.headers.get_all("X-Frame-Options") == ["DENY"]


def wait_for_log(site: Site, words: str) -> None:
    """nginx writes it after it has answered."""
    deadline = time.monotonic() + BOUND_S
    while words not in site.proxy.log:
        assert time.monotonic() < deadline, site.proxy.log
        time.sleep(0.02)


def test_the_links_of_callers_are_not_logged(site: Site) -> None:
    site.proxy.seen("/api/logged-path?signature=very-secret")
    wait_for_log(site, "/api/logged-path")
    assert "very-secret" not in site.proxy.log


def test_an_origin_that_is_refused_is_logged_beside_what_cvat_was_told(site: Site) -> None:
    def send(origin: str, status: int = 403, **headers: str) -> None:
        site.server.answer = lambda handler: handler.reply(status)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        site.proxy.ask("/api/tasks", "POST", headers={"Host": "a.lan", "Origin": origin} | headers)

    send("https://a.lan")
    send("http://a.lan.evil")
    send("https://b.lan:8443", X_Forwarded_Host="b.lan", X_Forwarded_Proto="https")
    # Refused for another reason, or not refused.
    send("http://a.lan")
    send("https://b.lan", X_Forwarded_Host="b.lan", X_Forwarded_Proto="https")
    send("https://c.lan", status=200)
    site.proxy.ask("/api/tasks", "POST", headers={"Host": "a.lan"})
    site.proxy.ask("/api/the-last")
    refused = {
        "Origin refused: https://a.lan, while CVAT was told http://a.lan",
        "Origin refused: http://a.lan.evil, while CVAT was told http://a.lan",
        "Origin refused: https://b.lan:8443, while CVAT was told https://b.lan",
    }
    for words in (*refused, "/api/the-last"):
        wait_for_log(site, words)
    assert {line for line in site.proxy.log.splitlines() if line.startswith("Origin refused")} == refused


@pytest.mark.parametrize(("version", "port"), [("2.21.0", 80), ("2.37.0", 80), ("2.52.0", 8000), (None, 8000)])
def test_the_configuration_of_the_container(version: str | None, port: int) -> None:
    text = proxy_configuration(StackSettings(version=version))
    assert "listen 8080 default_server;" in text
    assert "set $server cvat-server:8080;" in text
    assert f"set $ui cvat-ui:{port};" in text
    assert "@listen@" not in text
    assert proxy_parameters(StackSettings(version=version))["ui_port"] == str(port)


def test_the_container_writes_down_its_name_server(tmp_path: Path) -> None:
    """The first half of the container's command, run on files of the test."""
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("search dns.podman\nnameserver 10.89.0.1\nnameserver 10.0.0.1\noptions timeout:1\n")
    shell, option, script = stack_file().containers["cvat-proxy"].command
    writes, separator, serves = script.partition(" && ")
    assert separator
    assert serves == "exec nginx -c /etc/cvat/nginx.conf"
    writes = writes.replace("/tmp/", f"{tmp_path}/").replace("/etc/resolv.conf", str(resolv))
    subprocess.run([shell, option, writes], check=True, timeout=BOUND_S, env=dict(os.environ))
    assert (tmp_path / "resolver.conf").read_text() == "resolver 10.89.0.1 valid=2s ipv6=off;\n"
