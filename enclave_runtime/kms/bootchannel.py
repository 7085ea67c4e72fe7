"""Receives the boot configuration from the untrusted host: size and time are limited, and parsing is strict."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from blindsight.errors import KmsError
from blindsight.wire.bootconfig import BUNDLE_LENGTH, JSON_LENGTH, MAX_BUNDLE_BYTES, MAX_JSON_BYTES, BootConfig
from enclave_runtime.kms.transport import cut_off

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from enclave_runtime.kms.transport import Connector

_SECONDS: Final = 600.0
"""Deadline for configuration and bundle. A bundle of a gigabyte takes a few seconds over vsock."""


class BootChannel:
    """A connection to the host's server. `config` is the parsed configuration; `read` returns the bundle in pieces."""

    def __init__(self, connection: socket.socket) -> None:
        """Read the configuration. Raises `KmsError` (`invalid_boot_config`), and `OSError` if the connection breaks."""
        self._connection = connection
        length = int(JSON_LENGTH.unpack(self._exactly(JSON_LENGTH.size))[0])
        if length > MAX_JSON_BYTES:
            raise KmsError("invalid_boot_config", f"The boot configuration has more than {MAX_JSON_BYTES} bytes.")
        self.config = BootConfig.parse(self._exactly(length))
        self._left = int(BUNDLE_LENGTH.unpack(self._exactly(BUNDLE_LENGTH.size))[0])
        if self._left > MAX_BUNDLE_BYTES:
            raise KmsError("invalid_boot_config", f"The encrypted bundle has more than {MAX_BUNDLE_BYTES} bytes.")

    @property
    def has_bundle(self) -> bool:
        """Whether an encrypted bundle follows the configuration."""
        return self._left > 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of the encrypted bundle; empty at its end.

        Raises `KmsError` (`boot_config_unreachable`) if the connection ends early, and `OSError`.
        """
        part = self._connection.recv(min(size, self._left, 1 << 16)) if self._left else b""
        if self._left and not part:
            raise KmsError("boot_config_unreachable", "The host ended the connection within the encrypted bundle.")
        self._left -= len(part)
        return part

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._connection.recv(size - len(data))
            if not part:
                raise KmsError("boot_config_unreachable", "The host ended the connection within the configuration.")
            data += part
        return bytes(data)


@contextlib.contextmanager
def opened(connect: Connector, *, seconds: float = _SECONDS) -> Iterator[BootChannel]:
    """Connect and read the configuration. After `seconds` the connection is closed, also inside the context.

    Raises `KmsError`, also for a connection that breaks inside the context.
    """
    try:
        with connect(seconds) as connection, cut_off(connection, seconds):
            connection.settimeout(seconds)
            yield BootChannel(connection)
    except OSError as error:
        raise KmsError("boot_config_unreachable", f"The boot configuration was not reached: {error}.") from error
