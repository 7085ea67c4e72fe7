"""The caller's address from proxies' `X-Forwarded-For` and `-Proto`, or `Forwarded` (RFC 7239).

Only the operator's listed proxies are trusted, and only for what a caller cannot have written: the last address that is
none of theirs. If both notations are present they must agree, since a proxy that writes one passes the other on
unchanged.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SCHEMES: Final = frozenset({"http", "https"})
_NODE: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9]+(?:\.[0-9]+){3})(?::[0-9]+)?|([0-9A-Fa-f:.]+)")
"""An address with an ignored port: RFC 7239, section 6, and IPv6 without brackets as in `X-Forwarded-For`."""
# RFC 7239, 4: pairs of a token and a token or quoted string. No value that is read here has a quoted pair in it.
_PAIR: Final = re.compile(r'\s*([A-Za-z0-9-]+)=(?:"([^"\\]*)"|([^\s",;=]+))\s*')
_MOST_HOPS: Final = 32


class Caller(NamedTuple):
    """The address of a request's origin, and the scheme that it used towards the outermost known proxy, if stated."""

    address: str
    scheme: str | None


class _Hop(NamedTuple):
    """The statement of one proxy about the request that it passed on. None for what it omits or hides."""

    address: _Address | None
    scheme: str | None


def parse_network(text: str) -> _Network | None:
    """An address or a network (`10.0.0.0/8`); None for anything else, and for a network of all addresses."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return None
    return network if network.prefixlen else None


class Proxies:
    """The trusted proxies."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """Raises `ValueError` for an invalid network."""
        self._networks = []
        for text in networks:
            network = parse_network(text)
            if network is None:
                raise ValueError(f"BLINDSIGHT_PROXIES: {text!r} is neither an address nor a network such as 10.0.0.0/8")
            self._networks.append(network)

    def __contains__(self, address: object) -> bool:
        parsed = _parsed(str(address))
        return parsed is not None and self._knows(parsed)

    def _knows(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)

    def caller(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> Caller | None:
        """The caller whose request `peer` passes on; None if it is not stated, or `peer` is not a known proxy."""
        if not self._networks or peer not in self:
            return None
        stated = [hops for hops in (_by_x_forwarded(headers), _by_forwarded(headers)) if hops is not None]
        found = {self._outermost(hops) for hops in stated}
        addresses = {each.address for each in found if each.address}
        schemes = {each.scheme for each in found if each.scheme}
        if len(addresses) > 1 or len(schemes) > 1 or not found:
            return None
        return Caller(next(iter(addresses), peer), next(iter(schemes), None))

    def _outermost(self, hops: list[_Hop]) -> Caller:
        """The last caller that is not a known proxy, of the hops in the order of the request's path."""
        address, scheme = "", None
        for hop in reversed(hops[-_MOST_HOPS:]):
            if hop.address is None:
                # The hidden hop may be the caller itself, which then wrote all that stands before it.
                return Caller("", hop.scheme or scheme)
            address, scheme = str(hop.address), hop.scheme or scheme
            if not self._knows(hop.address):
                break
        return Caller(address, scheme)


class FromProxies:
    """Replaces `client` and `scheme` of requests from known proxies by the caller's."""

    def __init__(self, app: ASGIApp, proxies: Proxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] != "lifespan" and client:
            caller = self._proxies.caller(client[0], scope["headers"])
            if caller is not None:
                scope = {**scope, "client": (caller.address, 0)}
                if caller.scheme:
                    scope["scheme"] = (
                        caller.scheme.replace("http", "ws") if scope["type"] == "websocket" else caller.scheme
                    )
        await self._app(scope, receive, send)


def _by_x_forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[_Hop] | None:
    addresses, schemes = _elements(headers, b"x-forwarded-for"), _elements(headers, b"x-forwarded-proto")
    if addresses is None and schemes is None:
        return None
    # Proxies say one. In a list, which of them is whose cannot be told.
    scheme = _scheme(schemes[0]) if schemes and len(schemes) == 1 else None
    return [_Hop(_node(text), scheme) for text in addresses] if addresses else [_Hop(None, scheme)]


def _by_forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[_Hop] | None:
    elements = _elements(headers, b"forwarded")
    if elements is None:
        return None
    hops = []
    for element in elements:
        pairs = [_PAIR.fullmatch(text) for text in element.split(";")]
        fields = {pair[1].lower(): pair[2] or pair[3] or "" for pair in pairs if pair}
        clear = all(pairs) and len(fields) == len(pairs)
        hops.append(_Hop(_node(fields.get("for", "")), _scheme(fields.get("proto", ""))) if clear else _Hop(None, None))
    return hops


def _elements(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str] | None:
    """The elements of a list field in all its lines (RFC 9110, section 5.3); None if the field is absent."""
    lines = [value.decode("latin-1") for field, value in headers if field == name]
    return [text.strip() for text in ",".join(lines).split(",")] if lines else None


def _scheme(text: str) -> str | None:
    return text.lower() if text.lower() in _SCHEMES else None


def _node(text: str) -> _Address | None:
    match = _NODE.fullmatch(text)
    return _parsed(match[1] or match[2] or match[3]) if match else None


def _parsed(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address
