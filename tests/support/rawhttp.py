"""HTTP by hand, for requests that no client library would send: slow, cut, chunked for ever."""

from __future__ import annotations

import contextlib
import http.client
import io
import select
import socket
import ssl
from typing import TYPE_CHECKING, cast

import httpx2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class Connection:
    """One connection to a gateway on the loopback, over TLS if `ca` is given."""

    def __init__(self, port: int, *, seconds: float = 30, ca: Path | None = None, source: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=seconds, source_address=(source, 0))
        self._host = f"127.0.0.1:{port}"
        if ca is not None:
            context = ssl.create_default_context(cafile=ca)
            self._socket = context.wrap_socket(self._socket, server_hostname="127.0.0.1")

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

    def send_if_open(self, content: bytes) -> None:
        """Send to a peer that may have hung up."""
        with contextlib.suppress(OSError):
            self._socket.sendall(content)

    def receive(self, count: int) -> bytes:
        """The next bytes, exactly so many unless the peer hangs up before."""
        received = bytearray()
        while len(received) < count and (chunk := self._socket.recv(count - len(received))):
            received += chunk
        return bytes(received)

    def readable(self) -> bool:
        """Whether anything has come that was not read."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def send_chunk(self, content: bytes) -> None:
        self.send(f"{len(content):x}\r\n".encode() + content + b"\r\n")

    def response(self, method: str | None = None) -> httpx2.Response:
        """Read the answer to a request of this method."""
        with http.client.HTTPResponse(self._socket, method=method) as response:
            response.begin()
            content = response.read()
            return httpx2.Response(response.status, headers=response.getheaders(), content=content)

    def at_end(self) -> bool:
        """Wait until the peer hangs up, and say whether it did so without another byte."""
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def end_of_stream(self) -> tuple[bytes, bool]:
        """All that comes until the peer hangs up, and whether it did hang up within the connection's time."""
        received = bytearray()
        try:
            while chunk := self._socket.recv(1 << 16):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass  # It hung up with something of ours unread.
        except TimeoutError:
            return bytes(received), False
        return bytes(received), True

    def answers(self, methods: Iterable[str]) -> list[httpx2.Response]:
        """Every answer until the peer hangs up, in order: one to each request, whose methods are given.

        Raises `AssertionError` if the peer does not hang up, or says anything else.
        """
        expected = list(methods)
        received, hung_up = self.end_of_stream()
        assert hung_up, f"the connection is still open after {received!r}"
        found = parse_answers(received, expected)
        assert len(found) == len(expected), f"not {len(expected)} answers: {received!r}"
        return found


def parse_answers(received: bytes, methods: Iterable[str]) -> list[httpx2.Response]:
    """The final responses in `received`, to requests of these methods; more than those read as GET's."""
    stream, found, left = io.BytesIO(received), [], list(methods)
    while stream.tell() < len(received):
        method = left.pop(0) if left else "GET"
        response = http.client.HTTPResponse(cast("socket.socket", _Stream(stream)), method=method)
        try:
            response.begin()
        except http.client.HTTPException as error:
            raise AssertionError(f"no answer: {received[stream.tell() :]!r} of {received!r}") from error
        content = response.read()
        found.append(httpx2.Response(response.status, headers=response.getheaders(), content=content))
    return found


class _Stream:
    """What `http.client` wants of a socket; it leaves what follows a response where it is."""

    def __init__(self, stream: io.BytesIO) -> None:
        self._stream = stream

    def makefile(self, _: str) -> _Unclosed:
        return _Unclosed(self._stream)


class _Unclosed:
    """A stream that a finished response does not close."""

    def __init__(self, stream: io.BytesIO) -> None:
        self.read, self.readline, self.readinto, self.flush = (
            stream.read, stream.readline, stream.readinto, stream.flush,
        )  # fmt: skip

    def close(self) -> None:
        return
