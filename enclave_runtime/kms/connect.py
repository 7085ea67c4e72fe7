"""Connections to the host's forwarders (blocking)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from blindsight.errors import AddressError
from blindsight.wire.address import ANY_CID, Address

if TYPE_CHECKING:
    from enclave_runtime.kms.transport import Connector


def connector(url: str) -> Connector:
    """A function that connects to `url` (`tcp://HOST:PORT`, `unix:///PATH` or `vsock://CID:PORT`) within some seconds.

    Raises `AddressError` (`invalid_address`); the function raises `OSError`.
    """
    address = Address.parse(url)
    if address.scheme == "tcp":
        return lambda seconds: socket.create_connection((address.host, address.port), seconds)
    if address.scheme == "unix" and not address.port:
        return lambda seconds: _connected(socket.AF_UNIX, address.path, seconds)
    if address.scheme == "vsock" and address.cid != ANY_CID:
        return lambda seconds: _connected(socket.AF_VSOCK, (address.cid, address.port), seconds)
    raise AddressError("invalid_address", f"An enclave cannot connect to {address}.")


def _connected(family: int, address: str | tuple[int, int], seconds: float) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.settimeout(seconds)
        opened.connect(address)
    except BaseException:
        opened.close()
        raise
    return opened
