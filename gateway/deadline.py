"""A deadline for callers to read the data written to them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_HIGH_WATER_BYTES: Final = 64 * 1024
"""Unread bytes above which the application has to wait."""
_BYTES_PER_SECOND: Final = 1 << 20
"""Minimum speed for answers that are too large for the fixed time: results of Cape functions have up to 100 MB."""


class WriteDeadline:
    """Aborts a connection whose peer leaves data unread for too long.

    Closing would not suffice, because it waits for the peer.
    """

    def __init__(self, transport: asyncio.Transport, seconds: float, cut: Callable[[], None]) -> None:
        """`cut` is called when the connection is aborted."""
        self._transport = transport
        self._seconds = seconds
        self._cut = cut
        self._since: float | None = None
        self._limit = seconds
        self._timer: asyncio.TimerHandle | None = None
        # `resume_writing` shall mean that nothing is left.
        transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES, low=0)

    def look(self) -> None:
        """Start the timer if data is unsent, stop it if none is. Call it when either can have changed."""
        if not self._unsent():
            self._since = None
        elif self._since is None:
            loop = asyncio.get_running_loop()
            self._since = loop.time()
            self._limit = self._seconds + self._transport.get_write_buffer_size() / _BYTES_PER_SECOND
            if self._timer is None:
                self._timer = loop.call_later(self._limit, self._check)

    def stop(self) -> None:
        """The connection is closed."""
        if self._timer is not None:
            self._timer.cancel()

    def _unsent(self) -> bool:
        # TLS has buffers of its own below, which cannot be seen: while a transport is closing, they are not empty.
        return self._transport.get_write_buffer_size() > 0 or self._transport.is_closing()

    def _check(self) -> None:
        self._timer = None
        if not self._unsent() or self._since is None:
            self._since = None
            return
        loop = asyncio.get_running_loop()
        left = self._since + self._limit - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._check)
        else:
            self._cut()
            self._transport.abort()
