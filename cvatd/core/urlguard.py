"""Which addresses may be asked on a caller's behalf, and a client that asks no other.

A caller hands in URLs (data sets, callbacks) that this host then opens. Without a guard the caller could
reach what only this host can: the cloud's metadata service, databases on loopback, the tailnet. So a name is
resolved once, every address of the answer is judged, and the connection goes to an address that was judged;
a name that changes its answer in between gains nothing. Each redirect is a new request and passes again.
"""

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx

from cvatd.core.errors import CvatdError

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Iterable[Address]]
"""(host, port) -> addresses; raises OSError when the name has none."""

MAX_URL_CHARS = 2048
MAX_REDIRECTS = 5
DEFAULT_PORTS = {"http": 80, "https": 443}
NAT64 = IPv6Network("64:ff9b::/96")


class UrlRefused(CvatdError):
    """The URL may not be opened from here; the same URL will be refused again."""

    def __init__(self, message: str) -> None:
        super().__init__("url_refused", message)


class HostUnknown(CvatdError):
    """The host's name has no address now; it may have one later."""

    def __init__(self, host: str, cause: Exception) -> None:
        super().__init__("host_unknown", f"the host {host} has no address: {cause}")


@dataclass(frozen=True)
class Target:
    """Where a checked URL leads: every address here passed the guard."""

    host: str
    port: int
    addresses: tuple[Address, ...]


def system_resolver(host: str, port: int) -> list[Address]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # A zone ("fe80::1%eth0") is cut off: link-local addresses are judged without it.
    found = [ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in answers]
    return list(dict.fromkeys(found))


class UrlGuard:
    """Lets through http(s) URLs of global addresses, and what `allow` names: hosts, addresses, CIDRs."""

    def __init__(self, allow: Sequence[str] = (), resolve: Resolver = system_resolver) -> None:
        self._resolve = resolve
        self._hosts: set[str] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in allow:
            self._learn(entry)

    def check(self, url: str | httpx.URL) -> Target:
        """Judge a URL, asking the resolver once. Raises UrlRefused or HostUnknown."""
        parsed = _parse(url)
        host = parsed.host.rstrip(".").lower()
        port = parsed.port or DEFAULT_PORTS[parsed.scheme]
        addresses = self._addresses(host, port)
        if host not in self._hosts:
            for address in addresses:
                self._judge(host, address)
        return Target(host, port, addresses)

    def _learn(self, entry: str) -> None:
        text = entry.strip().lower().rstrip(".")
        try:
            self._networks.append(ip_network(text.strip("[]"), strict=False))
        except ValueError:
            if not text or not set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_"):
                raise CvatdError(
                    "url_allow_invalid",
                    f"urls.allow: {entry!r} is neither a host name, an address nor a CIDR such as 10.0.0.0/8",
                ) from None
            self._hosts.add(text)

    def _addresses(self, host: str, port: int) -> tuple[Address, ...]:
        try:
            return (ip_address(host),)
        except ValueError:
            pass
        try:
            addresses = tuple(self._resolve(host, port))
        except (OSError, UnicodeError, ValueError) as error:
            raise HostUnknown(host, error) from error
        if not addresses:
            raise HostUnknown(host, OSError("empty answer"))
        return addresses

    def _judge(self, host: str, address: Address) -> None:
        inner = unwrap(address)
        if is_public(inner) or any(a in network for network in self._networks for a in (address, inner)):
            return
        leads = f"{host} is" if host == str(address) else f"{host} leads to"
        raise UrlRefused(
            f"{leads} {address}, which is not an address of the public internet. "
            f"If it is meant, add the host or its network to urls.allow in the settings of this service."
        )


def unwrap(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Global, and for one receiver: `is_global` alone lets multicast and site-local addresses pass."""
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return isinstance(address, IPv4Address) or not address.is_site_local


def _parse(url: str | httpx.URL) -> httpx.URL:
    if len(str(url)) > MAX_URL_CHARS:
        raise UrlRefused(f"the URL is longer than {MAX_URL_CHARS} characters")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise UrlRefused(f"this is not a URL: {error}") from error
    if parsed.scheme not in DEFAULT_PORTS:
        raise UrlRefused(f"only http:// and https:// URLs are opened, not {parsed.scheme[:20] or 'empty'}:// ones")
    if parsed.userinfo:
        raise UrlRefused("the URL holds a user name or password; leave them out")
    if not parsed.host:
        raise UrlRefused("the URL names no host")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise UrlRefused(f"the URL's port is {parsed.port}; ports go from 1 to 65535")
    return parsed


class GuardedTransport(httpx.BaseTransport):
    """Sends each request to an address that the guard has just judged; the Host header and SNI stay."""

    def __init__(self, guard: UrlGuard, verify: bool = True) -> None:
        self._guard = guard
        # No connection is kept: the pool would key it by address, and hand one host's TLS to another.
        self._inner = httpx.HTTPTransport(
            verify=verify, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            target = self._guard.check(request.url)
        except HostUnknown as error:
            raise httpx.ConnectError(error.message, request=request) from error
        *others, last = target.addresses
        for address in others:
            try:
                return self._inner.handle_request(_pinned(request, target, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue  # nothing was sent yet: the next address may answer
        return self._inner.handle_request(_pinned(request, target, last))

    def close(self) -> None:
        self._inner.close()


def _pinned(request: httpx.Request, target: Target, address: Address) -> httpx.Request:
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": target.host},
    )


def guarded_client(guard: UrlGuard, timeout: httpx.Timeout, follow_redirects: bool) -> httpx.Client:
    """A client that opens nothing the guard refuses and believes no proxy variable of the environment."""
    return httpx.Client(
        transport=GuardedTransport(guard),
        timeout=timeout,
        follow_redirects=follow_redirects,
        max_redirects=MAX_REDIRECTS,
        trust_env=False,
    )
