"""Accepted host names of requests. A page that uses DNS rebinding sends its own host name."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.datastructures import Headers

from blindsight.problems import Problem
from gateway import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from gateway.metrics import Metrics

PROBES: Final = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""Probes by kubelets and load balancers, which use any address. They only reveal that the service runs."""

_ANY: Final = "*"
# RFC 3986, 3.2.2 and 3.2.3, without what no name that is looked up can hold: percent-encoding, sub-delims, zones.
_HOST: Final = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._~-]+))(?::(?P<port>[0-9]{0,5}))?")
_MAX_PORT: Final = 65535
_ORIGIN: Final = re.compile(r"(https?)://(.+)", re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Origin = tuple[str, str, int]
"""Scheme, host and port of a web page."""


class Host(NamedTuple):
    """A host in requests and origins, normalised, and its port, if stated."""

    name: str
    port: int | None


def parse_host(text: str) -> Host | None:
    """`NAME`, `NAME:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`; None for anything else.

    Names are lower-case and without the root's dot; IPv6 addresses are in their canonical form, without brackets.
    """
    match = _HOST.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > _MAX_PORT:
        return None
    if match["address"] is None:
        return Host(match["name"].lower().removesuffix("."), port)
    try:
        address = ipaddress.IPv6Address(match["address"])
    except ValueError:
        return None
    return Host(str(address.ipv4_mapped or address), port)


def parse_origin(text: str) -> Origin | None:
    """A web page's origin; None for `null` and other kinds of pages."""
    match = _ORIGIN.fullmatch(text)
    host = parse_host(match[2]) if match else None
    return None if match is None or host is None else origin_of(match[1].lower(), host)


def origin_of(scheme: str, host: Host) -> Origin:
    """The origin of pages that `host` serves over `scheme`."""
    return scheme, host.name, _DEFAULT_PORTS[scheme] if host.port is None else host.port


class Hosts:
    """The gateway's host names: the loopback's, the one it listens on, and those that the operator configures.

    Ports are ignored: a forwarder can have another one.
    """

    def __init__(
        self, configured: Iterable[str] = (), *, listening: str = "localhost", addresses: bool = False
    ) -> None:
        """`configured`: names and addresses; `*.NAME` accepts all names below NAME, `*` any host.

        With `addresses` every IP address is accepted, because DNS cannot redirect it. Raises `ValueError` for invalid
        entries.
        """
        entries = {entry.strip() for entry in configured} - {""}
        self._any = _ANY in entries
        self._addresses = addresses
        self._names = set()
        self._below = set()
        for entry in entries - {_ANY}:
            host = parse_host(entry.removeprefix("*."))
            if host is None or host.port is not None:
                raise ValueError(f"BLINDSIGHT_HOSTS: {entry!r} is not a host: write a name or address without port")
            if entry.startswith("*."):
                self._below.add(f".{host.name}")
            else:
                self._names.add(host.name)
        listened = parse_host(f"[{listening}]" if ":" in listening else listening)
        if listened is not None:
            self._names.add(listened.name)

    def __contains__(self, host: Host) -> bool:
        if self._any or host.name in self._names or host.name.endswith(tuple(self._below)):
            return True
        if host.name == "localhost" or host.name.endswith(".localhost"):  # RFC 6761, 6.3: never looked up
            return True
        address = _address(host.name)
        return address is not None and (self._addresses or address.is_loopback)


class KnownHosts:
    """Refuses requests with another host name: `unknown_host`, or `bad_request` for an invalid one."""

    def __init__(self, app: ASGIApp, hosts: Hosts, metrics: Metrics) -> None:
        self._app = app
        self._hosts = hosts
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = None if scope["type"] == "lifespan" or scope["path"] in PROBES else self._fault(scope)
        if problem is None:
            await self._app(scope, receive, send)
            return
        self._metrics.rejected.labels(problem.kind.code).inc()
        await errors.refuse(problem, scope, receive, send)

    def _fault(self, scope: Scope) -> Problem | None:
        # RFC 9112, 3.2: one Host, whatever the target; HTTP/1.0 had none.
        named = Headers(scope=scope).getlist("host")
        if not named and scope["http_version"] == "1.0":
            return None
        host = parse_host(named[0]) if len(named) == 1 else None
        if host is None:
            return Problem("bad_request", "A request names one host, in one header field 'Host'.")
        if host not in self._hosts:
            return Problem("unknown_host", "Ask by a name that is this gateway's. Its operator sets BLINDSIGHT_HOSTS.")
        return None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
