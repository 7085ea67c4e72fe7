"""The heartbeat to the parent: one byte in each direction over AF_VSOCK, vsock(7).

`nitro-cli run-enclave` waits for it, and treats an enclave without it as one that failed to boot. Values as in AWS's
init (aws-nitro-enclaves-sdk-bootstrap, init/init.c): CID 3, port 9000, byte 0xB7.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PARENT: Final = (3, 9000)
BYTE: Final = b"\xb7"
SECONDS: Final = 5.0


def send(connect: Callable[[], socket.socket] | None = None) -> None:
    """Send the byte and wait for the same byte.

    `connect` returns a connected socket; by default over AF_VSOCK. Raises `OSError`; `ConnectionError` for another
    answer.
    """
    with (connect or _connect)() as parent:
        parent.settimeout(SECONDS)
        parent.sendall(BYTE)
        if (answer := parent.recv(1)) != BYTE:
            raise ConnectionError(f"the parent answered {answer.hex() or 'nothing'}")


def _connect() -> socket.socket:
    parent = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    parent.settimeout(SECONDS)
    try:
        parent.connect(PARENT)
    except BaseException:
        parent.close()
        raise
    return parent
