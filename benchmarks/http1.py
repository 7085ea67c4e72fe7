"""A minimal HTTP/1.1 client for the load generator; it takes a tenth of the processor time of a complete one.

Requests are prepared bytes; httptools parses the answers. A connection carries one request at a time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

import httptools


@dataclass(frozen=True)
class Answer:
    """A complete answer. `retry_after` in seconds, 0 without that field."""

    status: int
    retry_after: float
    content: bytes


def post(path: str, body: bytes, content_type: str, *, close: bool = False) -> bytes:
    """A complete POST request."""
    end = "Connection: close\r\n" if close else ""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n{end}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def form(photo: bytes) -> tuple[bytes, str]:
    """Body and media type of the form that `curl -F file=@photo.jpeg` sends."""
    boundary = b"------------------------blindsight"
    head = b'Content-Disposition: form-data; name="file"; filename="photo.jpeg"\r\nContent-Type: image/jpeg'
    body = b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + photo + b"\r\n--" + boundary + b"--\r\n"
    return body, f"multipart/form-data; boundary={boundary.decode()}"


class Connection:
    """A persistent connection to `port` of this machine, opened again after the server closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._wire: _Wire | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send a prepared request and wait for its answer. Raises `OSError` if the connection fails or the answer is
        not HTTP.
        """
        if self._wire is None or self._wire.closed:
            loop = asyncio.get_running_loop()
            _, self._wire = await loop.create_connection(_Wire, "127.0.0.1", self._port)
        return await self._wire.ask(request)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()


class _Wire(asyncio.Protocol):
    """One TCP connection."""

    closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, but does not say so.
        self._answered: asyncio.Future[Answer] | None = None

    async def ask(self, request: bytes) -> Answer:
        self._parser = httptools.HttpResponseParser(self)
        self._retry_after = 0.0
        self._pieces: list[bytes] = []
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        self.closed = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(OSError(f"not HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._fail(OSError(f"the connection was lost{': ' + str(exc) if exc else ''}"))

    def _fail(self, error: OSError) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self._retry_after = float(value)

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.close()
        if self._answered is not None and not self._answered.done():
            answer = Answer(self._parser.get_status_code(), self._retry_after, b"".join(self._pieces))
            self._answered.set_result(answer)
