"""Limits on open connections, in total and for each address."""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Container

MOST: Final = 1024
MOST_FROM_ONE_ADDRESS: Final = 512
_IPV6_SITE_BITS: Final = 64
"""The smallest network assigned to a site (RFC 6177), so that a caller cannot use many addresses."""


def source_of(address: str) -> str:
    """The identity of a caller: an IPv4 address or an IPv6 network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_SITE_BITS), strict=False)) if parsed.version == 6 else str(parsed)


class Occupant(Protocol):
    """The holder of a place."""

    def give_way(self) -> None:
        """Close at once, because another connection needs the place."""


class Place:
    """The place of one connection, from its acceptance to its end."""

    def __init__(self, connections: Connections, source: str) -> None:
        self._connections = connections
        self.source = source
        self._left = False

    def wait(self, occupant: Occupant) -> None:
        """The connection waits for a request, so it can be closed to make room."""
        self._connections._waiting.pop(self, None)  # noqa: SLF001 -- its other half
        if not self._left:
            self._connections._waiting[self] = occupant  # noqa: SLF001 -- the two are one

    def work(self) -> None:
        """A request has arrived: the connection stays open until it is answered."""
        self._connections._waiting.pop(self, None)  # noqa: SLF001 -- the two are one

    def leave(self) -> None:
        """The connection is closed. Can be called repeatedly."""
        if not self._left:
            self._left = True
            self.work()
            self._connections._leave(self.source)  # noqa: SLF001 -- the two are one


class Connections:
    """The places of some listeners. At the limit, the connection that has waited longest is closed."""

    def __init__(
        self, most: int = MOST, most_from_one_address: int = MOST_FROM_ONE_ADDRESS, proxies: Container[str] = ()
    ) -> None:
        """`proxies`: addresses without a limit of their own, because they represent many callers."""
        self._proxies = proxies
        self._most = most
        self._most_from_one = most_from_one_address
        self._open = 0
        self._by_source: Counter[str] = Counter()
        self._waiting: dict[Place, Occupant] = {}
        """In order: who has waited longest comes first."""
        self._to_tell: list[Callable[[], None]] = []

    @property
    def full(self) -> bool:
        return self._open >= self._most

    def enter(self, address: str) -> Place | None:
        """A place for a connection from `address`; None if that address is at its limit."""
        source = source_of(address)
        if self._by_source[source] >= self._most_from_one and address not in self._proxies:
            return None
        self._open += 1
        self._by_source[source] += 1
        return Place(self, source)

    def make_room(self) -> bool:
        """Close the connection that has waited longest; False if there is none. Its place is free a moment later."""
        place = next(iter(self._waiting), None)
        if place is None:
            return False
        self._waiting.pop(place).give_way()
        return True

    def tell(self, when_there_is_room: Callable[[], None]) -> None:
        """Call the function once, as soon as a place is free."""
        self._to_tell.append(when_there_is_room)

    def _leave(self, source: str) -> None:
        self._open -= 1
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]
        told, self._to_tell = self._to_tell, []
        for tell in told:
            tell()
