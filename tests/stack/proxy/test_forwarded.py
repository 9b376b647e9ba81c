"""What CVAT is told about its outside: upload addresses and the check of Origin are built from it."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stack.proxy.conftest import Site
from tests.stack.proxy.servers import Seen, running

# What arrives: Host, X-Forwarded-Host, -Proto, -Port (None: not sent). What CVAT must see: scheme and host, which
# together are the origin as a browser writes it.
TOLD = {
    "nobody in front": (("cvat.lan:8093", None, None, None), ("http", "cvat.lan:8093")),
    "nobody in front, port 80": (("cvat.lan", None, None, None), ("http", "cvat.lan")),
    "an address": (("10.0.0.7:8093", None, None, None), ("http", "10.0.0.7:8093")),
    "an address of version 6": (("[fd7a::1]:8093", None, None, None), ("http", "[fd7a::1]:8093")),
    "TLS, host kept": (("cvat.example.org", None, "https", None), ("https", "cvat.example.org")),
    "TLS on another port, host kept": (
        ("cvat.example.org:8443", None, "https", None),
        ("https", "cvat.example.org:8443"),
    ),
    "TLS, host moved": (("127.0.0.1:8093", "cvat.example.org", "https", None), ("https", "cvat.example.org")),
    "host with its port": (
        ("127.0.0.1:8093", "cvat.example.org:8443", "https", None),
        ("https", "cvat.example.org:8443"),
    ),
    "port beside": (("127.0.0.1:8093", "cvat.example.org", "https", "8443"), ("https", "cvat.example.org:8443")),
    "both agree": (("x", "cvat.example.org:8443", "https", "8443"), ("https", "cvat.example.org:8443")),
    "the host's own port stands above": (
        ("x", "cvat.example.org:8443", "https", "443"),
        ("https", "cvat.example.org:8443"),
    ),
    "the usual port is left out": (("x", "cvat.example.org", "https", "443"), ("https", "cvat.example.org")),
    "the usual port beside the host too": (("x", "cvat.example.org:443", "https", None), ("https", "cvat.example.org")),
    "http, usual port": (("x", "cvat.example.org:80", "http", "80"), ("http", "cvat.example.org")),
    "http, another port": (("x", "cvat.example.org", "http", "8080"), ("http", "cvat.example.org:8080")),
    "host kept without its port, port beside": (
        ("cvat.example.org", None, "https", "8443"),
        ("https", "cvat.example.org:8443"),
    ),
    "host kept without its port, usual port": (
        ("cvat.example.org", None, "https", "443"),
        ("https", "cvat.example.org"),
    ),
    "host kept with its port": (("cvat.example.org:8443", None, "https", "443"), ("https", "cvat.example.org:8443")),
    "the port of a plain stretch behind TLS": (("x", "cvat.example.org", "https", "80"), ("https", "cvat.example.org")),
    "https in capitals": (("cvat.example.org", None, "HTTPS", None), ("https", "cvat.example.org")),
    "version 6 beside": (("x", "[fd7a::1]", "https", "8443"), ("https", "[fd7a::1]:8443")),
    # What is not one plain value is not believed.
    "a list of schemes": (("cvat.lan", None, "https, http", None), ("http", "cvat.lan")),
    "a scheme that is none": (("cvat.lan", None, "javascript", None), ("http", "cvat.lan")),
    "an empty scheme": (("cvat.lan", None, "", None), ("http", "cvat.lan")),
    "a list of hosts": (("cvat.lan", "a.example, b.example", None, None), ("http", "cvat.lan")),
    "a host with a path": (("cvat.lan", "evil.example/x", None, None), ("http", "cvat.lan")),
    "a host with a user": (("cvat.lan", "user@evil.example", None, None), ("http", "cvat.lan")),
    "a host with a mark": (("cvat.lan", 'evil"><script>', None, None), ("http", "cvat.lan")),
    "a host with a space": (("cvat.lan", "evil example", None, None), ("http", "cvat.lan")),
    "a host of 300": (("cvat.lan", "a" * 300, None, None), ("http", "cvat.lan")),
    "a port that is a word": (("cvat.lan", "cvat.example.org:https", "https", None), ("https", "cvat.lan")),
    "a port beside that is a word": (("cvat.lan", "cvat.example.org", "https", "x"), ("https", "cvat.example.org")),
    "a port with more behind": (("cvat.lan", "cvat.example.org", "https", "8443/x"), ("https", "cvat.example.org")),
    "a port of zero": (("cvat.lan", "cvat.example.org", "https", "0"), ("https", "cvat.example.org")),
    "a port too long": (("cvat.lan", "cvat.example.org", "https", "123456"), ("https", "cvat.example.org")),
    "an empty host beside": (("cvat.lan:8093", "", "https", None), ("https", "cvat.lan:8093")),
}
NAMES = ("X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port")


def ask(site: Site, host: str, *others: str | None, path: str = "/api/tasks") -> Seen:
    headers = {name: value for name, value in zip(NAMES, others, strict=True) if value is not None}
    return site.proxy.seen(path, headers={"Host": host} | headers)


@pytest.mark.parametrize("case", TOLD)
def test_the_outside_as_the_browser_sees_it(site: Site, case: str) -> None:
    told, (scheme, host) = TOLD[case]
    seen = ask(site, *told)
    assert seen.value("X-Forwarded-Proto") == scheme
    assert seen.value("X-Forwarded-Host") == host
    # Who sent what is settled: nothing beside may say otherwise.
    assert seen.value("X-Forwarded-Port") is None
    assert seen.value("Host") == told[0]


@pytest.mark.parametrize("path", ["/", "/admin/", "/static/x", "/django-rq"])
def test_every_route_tells_the_same(site: Site, path: str) -> None:
    seen = ask(site, "x", "cvat.example.org", "https", "8443", path=path)
    assert (seen.value("X-Forwarded-Proto"), seen.value("X-Forwarded-Host")) == ("https", "cvat.example.org:8443")


def test_the_chain_of_addresses_grows_by_the_last(site: Site) -> None:
    seen = site.proxy.seen("/api/x", headers={"X-Forwarded-For": "198.51.100.7", "X-Real-IP": "203.0.113.1"})
    assert seen.value("X-Forwarded-For") == "198.51.100.7, 127.0.0.1"
    assert seen.value("X-Real-IP") == "127.0.0.1"


def test_the_standard_header_is_not_passed(site: Site) -> None:
    assert site.proxy.seen("/api/x", headers={"Forwarded": "host=evil.example;proto=https"}).value("Forwarded") is None


def test_an_underscore_does_not_pass_for_a_dash(site: Site) -> None:
    """To a WSGI application both are one name."""
    seen = site.proxy.seen("/api/x", headers={"X_Forwarded_Host": "evil.example", "X_Forwarded_Proto": "https"})
    assert seen.value("X-Forwarded-Proto") == "http"
    assert not [name for name, _ in seen.headers if "_" in name]


def test_headers_that_are_sent_twice_do_not_arrive_twice(site: Site) -> None:
    connection = site.proxy.connect()
    with contextlib.closing(connection):
        connection.putrequest("GET", "/api/x", skip_host=True)
        connection.putheader("Host", "cvat.lan")
        for value in ("a.example", "b.example"):
            connection.putheader("X-Forwarded-Host", value)
        for value in ("https", "http"):
            connection.putheader("X-Forwarded-Proto", value)
        connection.endheaders()
        assert connection.getresponse().status == 200
    seen = site.server.requests[-1]
    # Older nginx takes the first, newer joins them to a list, which is not believed.
    assert seen.value("X-Forwarded-Host") in {"a.example", "cvat.lan"}
    assert seen.value("X-Forwarded-Proto") in {"https", "http"}


def test_what_authenticates_passes(site: Site) -> None:
    sent = {
        "Authorization": "Bearer abc",
        "Cookie": "sessionid=1; csrftoken=2",
        "X-CSRFToken": "2",
        "Origin": "https://cvat.example.org",
        "X-Organization": "team",
    }
    seen = site.proxy.seen("/api/x", headers=sent)
    assert {name: seen.value(name) for name in sent} == sent


VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)


def test_whatever_is_sent_cvat_sees_one_plain_origin() -> None:
    """The law behind the table: a scheme of two, and a host that Django takes."""
    import re

    host = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?")
    with running() as proxy:
        proxy.add("cvat-server")

        @given(outer=VISIBLE, proto=VISIBLE, port=VISIBLE)
        @settings(max_examples=150, deadline=None)
        def law(outer: str, proto: str, port: str) -> None:
            sent = {"Host": "cvat.lan", "X-Forwarded-Host": outer, "X-Forwarded-Proto": proto, "X-Forwarded-Port": port}
            seen = proxy.seen("/api/x", headers=sent)
            assert seen.value("X-Forwarded-Proto") in {"http", "https"}
            assert host.fullmatch(seen.value("X-Forwarded-Host") or "")

        law()
