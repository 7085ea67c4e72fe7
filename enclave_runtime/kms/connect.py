"""Addresses of the host's forwarders as functions that connect to them: `tcp://HOST:PORT`, `unix://PATH`, `vsock://CID:PORT`."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from blindsight.errors import KmsError

if TYPE_CHECKING:
    from enclave_runtime.kms.transport import Connector


def connector(url: str) -> Connector:
    """Raises `KmsError` (`invalid_kms_settings`) for an address of no known form."""
    parts = urlsplit(url)
    try:
        if parts.scheme == "tcp" and parts.hostname and parts.port:
            address = (parts.hostname, parts.port)
            return lambda seconds: socket.create_connection(address, seconds)
        if parts.scheme == "unix" and parts.path:
            return lambda seconds: _connected(socket.AF_UNIX, parts.path, seconds)
        if parts.scheme == "vsock" and parts.hostname and parts.port:
            machine = (int(parts.hostname), parts.port)
            return lambda seconds: _connected(socket.AF_VSOCK, machine, seconds)
    except ValueError:
        pass
    raise KmsError("invalid_kms_settings", f"{url!a} is not tcp://HOST:PORT, unix://PATH or vsock://CID:PORT.")


def _connected(family: int, address: str | tuple[int, int], seconds: float) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.settimeout(seconds)
        opened.connect(address)
    except BaseException:
        opened.close()
        raise
    return opened
