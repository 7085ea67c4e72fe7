"""HTTP limits and error mapping, shared by both client classes."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

import httpx2

from blindsight.client import routes
from blindsight.client._core import Reply, unexpected
from blindsight.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_REPLY_BYTES: Final = 1 << 20
"""Evidence has about ten kilobytes, an answer with a thousand classes eighty."""

HEADERS: Final = {"Accept-Encoding": "identity"}
"""The client decompresses nothing that is not authenticated."""


class Body:
    """Collects a reply's body, at most `MAX_REPLY_BYTES`, within `seconds` after its head."""

    def __init__(self, response: httpx2.Response, seconds: float) -> None:
        self._response = response
        self._until = time.monotonic() + seconds
        self._chunks: list[bytes] = []
        self._bytes = 0
        if response.headers.get("content-encoding", "identity") != "identity":
            raise unexpected("The gateway packed its answer, unasked.")

    def add(self, chunk: bytes) -> None:
        """Raises `TransportError`."""
        self._chunks.append(chunk)
        self._bytes += len(chunk)
        if self._bytes > MAX_REPLY_BYTES:
            raise unexpected(f"The gateway's answer has more than {MAX_REPLY_BYTES} bytes.")
        if time.monotonic() > self._until:
            raise TransportError("timed_out", "The gateway's answer did not come whole in time.")

    def reply(self) -> Reply:
        media_type = self._response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Reply(self._response.status_code, media_type, b"".join(self._chunks))


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Raise `TransportError` in place of the HTTP library's exceptions in the block."""
    try:
        yield
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        name = type(error).__name__
        if isinstance(error, httpx2.TimeoutException):
            raise TransportError("timed_out", f"The gateway did not answer in time ({name}).") from error
        if fault := routes.fault(error):
            raise fault from error
        if isinstance(error, (httpx2.ConnectError, httpx2.ProxyError, httpx2.UnsupportedProtocol, httpx2.InvalidURL)):
            raise TransportError("unreachable", f"The gateway cannot be reached ({name}).") from error
        raise TransportError("connection_lost", f"The connection to the gateway was lost ({name}).") from error
