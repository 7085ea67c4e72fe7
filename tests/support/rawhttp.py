"""HTTP by hand, for requests that no client library would send: slow, cut, chunked for ever."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from collections.abc import Mapping


class Connection:
    """One connection to a gateway on the loopback."""

    def __init__(self, port: int, *, seconds: float = 30) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self._host = f"127.0.0.1:{port}"

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def start(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Send the head of a request."""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"host: {self._host}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self.send("".join(f"{line}\r\n" for line in [*lines, ""]).encode())

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def send_chunk(self, content: bytes) -> None:
        self.send(f"{len(content):x}\r\n".encode() + content + b"\r\n")

    def response(self) -> httpx2.Response:
        """Read the answer."""
        with http.client.HTTPResponse(self._socket) as response:
            response.begin()
            content = response.read()
            return httpx2.Response(response.status, headers=response.getheaders(), content=content)

    def at_end(self) -> bool:
        """Wait until the peer hangs up, and say whether it did so without another byte."""
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True
