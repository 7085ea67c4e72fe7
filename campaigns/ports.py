"""Free ports for programs that end and come back.

They are below those that the kernel gives to connections, which could take one meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Final

from benchmarks.processes import StackError

_FIRST: Final = 20_000
_COUNT: Final = 10_000
_given: set[int] = set()


def free_port() -> int:
    """A port of the loopback on which nothing listens, each time another one. Raises `StackError`."""
    for step in range(_COUNT):
        port = _FIRST + (os.getpid() * 37 + step) % _COUNT
        if port in _given:
            continue
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            _given.add(port)
            return port
    raise StackError("no port is free")
