"""Closing of a connection whose last request is answered before its body has arrived.

Closing at once would reset the connection, and a caller that is still sending could not read the answer (RFC 9112,
section 9.6). So the body is read and dropped first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class AnswerTransport:
    """The transport for one answer: writing, and closing the connection after the answer."""

    def __init__(self, transport: asyncio.Transport, end: Callable[[], None]) -> None:
        """`end` is called instead of closing the transport."""
        self._transport = transport
        self._end = end

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._end()
