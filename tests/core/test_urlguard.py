"""The guard against real servers on loopback, and its law over all addresses."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.core.errors import CvatdError
from cvatd.core.urlguard import (
    Address,
    GuardedTransport,
    HostUnknown,
    UrlGuard,
    UrlRefused,
    guarded_client,
    is_public,
)
from tests.serving import running

TIMEOUT = httpx.Timeout(5)
INSIDE = [
    "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
    "0.0.0.0", "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fec0::1]",
    "[ff02::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
    "[::127.0.0.1]", "[64:ff9b:1::1]",
]  # fmt: skip


class Names:
    """A resolver that counts, and gives one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self, host: str, port: int) -> list[Address]:
        self.asked += 1
        return [ip_address(a) for a in self.answers[min(self.asked, len(self.answers)) - 1]]


@contextmanager
def server(redirect: str | None = None) -> Iterator[tuple[int, list[str]]]:
    hosts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hosts.append(self.headers["Host"])
            if redirect and self.path == "/go":
                self.send_response(302)
                self.send_header("Location", redirect)
            else:
                self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with running(server):
        yield server.server_port, hosts


@pytest.mark.parametrize("host", INSIDE)
def test_addresses_inside_are_refused(host: str) -> None:
    with pytest.raises(UrlRefused) as refused:
        UrlGuard().check(f"http://{host}/x")
    assert refused.value.code == "url_refused"
    assert "urls.allow" in refused.value.message


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "localhost"])
def test_other_spellings_of_loopback_are_refused(host: str) -> None:
    with pytest.raises((UrlRefused, HostUnknown)):
        UrlGuard().check(f"http://{host}/")


@pytest.mark.parametrize(
    "url",
    ["ftp://8.8.8.8/", "file:///etc/passwd", "//8.8.8.8/", "8.8.8.8", "", "http://", "http://u:p@8.8.8.8/",
     "http://8.8.8.8:99999/", "http://8.8.8.8/" + "a" * 2048],
)  # fmt: skip
def test_urls_of_another_kind_are_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        UrlGuard().check(url)


def test_public_addresses_pass_with_all_their_answers() -> None:
    target = UrlGuard(resolve=Names(["8.8.8.8", "2001:4860:4860::8888"])).check("https://Example.com./x")
    assert target.host == "example.com"
    assert target.port == 443
    assert [str(a) for a in target.addresses] == ["8.8.8.8", "2001:4860:4860::8888"]


def test_one_inner_address_spoils_the_answer() -> None:
    with pytest.raises(UrlRefused, match=r"10\.0\.0\.1"):
        UrlGuard(resolve=Names(["8.8.8.8", "10.0.0.1"])).check("http://example.com/")


@pytest.mark.parametrize(
    ("allow", "url", "passes"),
    [
        ("127.0.0.0/8", "http://127.0.0.1/", True),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]/", True),
        ("::1", "http://[::1]/", True),
        ("100.64.0.0/10", "http://100.64.0.1/", True),
        ("100.64.0.0/10", "http://127.0.0.1/", False),
        ("Inner.Example", "http://inner.example./", True),
        ("inner.example", "http://x.inner.example/", False),
    ],
)
def test_allow_list(allow: str, url: str, passes: bool) -> None:
    guard = UrlGuard([allow], Names(["10.0.0.1"]))
    if passes:
        guard.check(url)
    else:
        with pytest.raises(UrlRefused):
            guard.check(url)


@pytest.mark.parametrize("entry", ["", "10.0.0.0/99", "*.example.com", "http://x"])
def test_allow_list_says_what_it_cannot_read(entry: str) -> None:
    with pytest.raises(CvatdError) as error:
        UrlGuard([entry])
    assert error.value.code == "url_allow_invalid"


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_law_what_passes_is_global_also_when_wrapped(address: IPv4Address | IPv6Address) -> None:
    guard = UrlGuard(resolve=lambda host, port: [address])
    try:
        guard.check("http://example.com/")
    except UrlRefused:
        pass
    else:
        assert address.is_global
        assert not address.is_multicast
    if isinstance(address, IPv4Address) and not is_public(address):
        for wrapped in (
            f"::ffff:{address}",
            f"64:ff9b::{address}",
            str(IPv6Address((0x2002 << 112) | int(address) << 80)),
        ):
            with pytest.raises(UrlRefused):
                guard.check(f"http://[{wrapped}]/")


def test_the_answer_is_pinned_and_the_name_is_kept() -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    with server() as (port, hosts), guarded_client(UrlGuard(["127.0.0.1"], names), TIMEOUT, False) as client:
        assert client.get(f"http://example.com:{port}/").status_code == 200
        assert names.asked == 1
        assert hosts == [f"example.com:{port}"]
        with pytest.raises(UrlRefused, match=r"169\.254\.169\.254"):
            client.get(f"http://example.com:{port}/")


def test_the_next_address_is_tried() -> None:
    names = Names(["127.0.0.2", "127.0.0.1"])  # nobody listens on the first
    with server() as (port, _), guarded_client(UrlGuard(["127.0.0.0/8"], names), TIMEOUT, False) as client:
        assert client.get(f"http://example.com:{port}/").status_code == 200
        assert names.asked == 1


@pytest.mark.parametrize("inside", ["169.254.169.254", "100.64.0.1", "[::1]"])
def test_redirects_pass_the_guard_again(inside: str) -> None:
    with server(f"http://{inside}/latest") as (port, _):
        guard = UrlGuard(["127.0.0.1"])
        with guarded_client(guard, TIMEOUT, True) as client, pytest.raises(UrlRefused):
            client.get(f"http://127.0.0.1:{port}/go")


def test_each_hop_is_resolved_once() -> None:
    names = Names(["127.0.0.1"])
    with server("/end") as (port, hosts), guarded_client(UrlGuard(["127.0.0.1"], names), TIMEOUT, True) as client:
        assert client.get(f"http://example.com:{port}/go").status_code == 200
    assert names.asked == 2
    assert hosts == [f"example.com:{port}"] * 2


def test_an_unknown_host_is_a_connection_error_for_clients() -> None:
    def nobody(host: str, port: int) -> list[Address]:
        raise OSError("Name or service not known")

    with pytest.raises(HostUnknown):
        UrlGuard(resolve=nobody).check("http://example.com/")
    with (
        httpx.Client(transport=GuardedTransport(UrlGuard(resolve=nobody))) as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get("http://example.com/")


def test_proxies_of_the_environment_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with server() as (port, _), guarded_client(UrlGuard(["127.0.0.1"]), TIMEOUT, False) as client:
        assert client.get(f"http://127.0.0.1:{port}/").status_code == 200
