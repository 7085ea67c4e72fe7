"""Where the enclaves are: addresses as the setting lists them, and those that a name has in the DNS."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from blindsight.errors import AddressError
from blindsight.wire.address import ANY_CID, Address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Resolve = Callable[[str, int], Awaitable[frozenset[Address]]]

_log = logging.getLogger(__name__)

_DNS: Final = "dns://"


@dataclass(frozen=True)
class Named:
    """All addresses of a host name, as those of a headless Service of Kubernetes."""

    host: str
    port: int


async def resolved(host: str, port: int) -> frozenset[Address]:
    """The addresses of `host`, from the system's resolver. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return frozenset(Address("tcp", host=str(each[4][0]), port=port) for each in found)


class Sources:
    """The addresses of all enclaves. A name that cannot be looked up keeps the addresses that it had."""

    def __init__(self, listed: tuple[Address, ...], names: tuple[Named, ...], *, resolve: Resolve = resolved) -> None:
        self.listed = listed
        self.names = names
        self._resolve = resolve
        self._last: dict[Named, frozenset[Address]] = {}
        self._unknown: set[Named] = set()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse addresses and `dns://NAME:PORT`, separated by commas. Raises `AddressError` (`invalid_address`)."""
        listed, names = [], []
        for item in (part.strip() for part in text.split(",")):
            if item.startswith(_DNS):
                address = Address.parse(f"tcp://{item.removeprefix(_DNS)}")
                names.append(Named(address.host, address.port))
            else:
                address = Address.parse(item)
                if address.cid == ANY_CID:
                    raise AddressError(
                        "invalid_address", "the enclave is one machine: give its CID, as in vsock://16:7500"
                    )
                listed.append(address)
        if len({*listed, *names}) < len(listed) + len(names):
            raise AddressError("invalid_address", "An enclave is listed twice.")
        return cls(tuple(listed), tuple(names))

    @property
    def single(self) -> bool:
        """Whether there is exactly one enclave, always at the same address."""
        return len(self.listed) == 1 and not self.names

    async def addresses(self) -> frozenset[Address]:
        """All current addresses."""
        found = set(self.listed)
        for name in self.names:
            try:
                self._last[name] = await self._resolve(name.host, name.port)
                self._unknown.discard(name)
            except OSError as error:
                if name not in self._unknown:
                    _log.warning("enclaves not looked up", extra={"reason": error.strerror or type(error).__name__})
                self._unknown.add(name)
            found |= self._last.get(name, frozenset())
        return frozenset(found)
