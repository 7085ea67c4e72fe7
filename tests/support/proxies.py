"""A proxy that takes down what it is asked, and environments that name it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
_SECONDS = 10.0
_REFUSAL = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def without_proxies(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`environment` without any proxy, and without exceptions from it."""
    return {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}


def naming(url: str, *, upper: bool = False) -> dict[str, str]:
    """The variables that programs take a proxy from, in one of the two spellings."""
    return {name.upper() if upper else name: url for name in VARIABLES}


class RecordingProxy:
    """Takes down the head of each request, then refuses it. `heads` are what came, one for each connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.heads: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> RecordingProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing a listener does not wake the thread that accepts on it; shutting it down does.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=_SECONDS)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # The listener was shut down.
            with connection, contextlib.suppress(OSError):  # Callers may hang up at any time.
                connection.settimeout(_SECONDS)
                self.heads.append(connection.recv(1 << 16))
                connection.sendall(_REFUSAL)
