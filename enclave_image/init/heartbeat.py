"""Telling the parent that the enclave is up: one byte each way over AF_VSOCK.

`nitro-cli run-enclave` listens for it and takes an enclave without it for one that failed to boot. As in AWS's own init
(aws-nitro-enclaves-sdk-bootstrap, init/init.c): parent's CID 3, port 9000, byte 0xB7.
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
    """Say that the enclave is up, and wait for the answer. Raises `OSError`.

    `connect` gives a connected socket.
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
