"""Addresses of the host's forwarders (`blindsight.wire.address`) as functions that connect to them, and wait."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from blindsight.errors import AddressError, KmsError
from blindsight.wire.address import ANY_CID, Address

if TYPE_CHECKING:
    from enclave_runtime.kms.transport import Connector


def connector(url: str) -> Connector:
    """Raises `KmsError` (`invalid_kms_settings`) for what is no address of a forwarder."""
    try:
        address = Address.parse(url)
    except AddressError as error:
        raise KmsError("invalid_kms_settings", str(error)) from error
    if address.cid == ANY_CID or (address.scheme == "unix" and address.port):
        raise KmsError("invalid_kms_settings", f"{url!a} is no address that an enclave can connect to.")
    match address.scheme:
        case "tcp":
            return lambda seconds: socket.create_connection((address.host, address.port), seconds)
        case "unix":
            return lambda seconds: _connected(socket.AF_UNIX, address.path, seconds)
        case "vsock":
            return lambda seconds: _connected(socket.AF_VSOCK, (address.cid, address.port), seconds)


def _connected(family: int, address: str | tuple[int, int], seconds: float) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.settimeout(seconds)
        opened.connect(address)
    except BaseException:
        opened.close()
        raise
    return opened
