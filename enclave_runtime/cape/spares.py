"""Spare processes with loaded functions, so that a client need not wait for loading."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from enclave_runtime.cape.process import HandlerProcess

    Start = Callable[[], Awaitable[HandlerProcess]]

_log = logging.getLogger(__name__)

_STARTS = 2
"""Processes that are started at once. A client's own process waits for at most one spare."""


@dataclass
class _Shelf:
    """The spare processes of one function."""

    processes: deque[HandlerProcess] = field(default_factory=deque)
    filling: asyncio.Task[None] | None = None
    expiry: asyncio.TimerHandle | None = None


class Spares:
    """Keeps `count` new processes of each function in use, for `idle_seconds` after the last was taken.

    At most `functions` functions have spares: those used last.
    """

    def __init__(self, count: int = 1, *, functions: int = 32, idle_seconds: float = 600.0) -> None:
        self._count = count
        self._functions = functions
        self._idle_seconds = idle_seconds
        self._shelves: dict[Path, _Shelf] = {}
        self._starting = asyncio.Semaphore(_STARTS)
        self._starting_spare = asyncio.Semaphore(_STARTS - 1)
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def take(self, code: Path, start: Start) -> HandlerProcess:
        """A new process of the function in `code`, which the caller has to close.

        Raises `CapeError` (`enclave_unavailable`) after `close`, and the errors of `start`.
        """
        if self._closed:
            raise CapeError("enclave_unavailable", "the enclave is shutting down")
        shelf = self._shelves.setdefault(code, _Shelf())
        process = self._fresh(shelf)
        if process is None:
            try:
                async with self._starting:
                    process = await start()
            except BaseException:
                if shelf.expiry is None and self._shelves.get(code) is shelf:
                    del self._shelves[code]
                raise
        # Not for a function that was dropped meanwhile.
        if self._shelves.get(code) is shelf:
            self._renew(code, shelf)
            self._shelves[code] = self._shelves.pop(code)
            self._make_room()
            if shelf.filling is None or shelf.filling.done():
                shelf.filling = asyncio.create_task(self._fill(shelf, start))
        return process

    async def drop(self, code: Path) -> None:
        """Close the reserve of the function in `code`."""
        if (shelf := self._shelves.pop(code, None)) is not None:
            await self._clear(shelf)

    async def close(self) -> None:
        """Close every reserve, and keep none from now on."""
        self._closed = True
        shelves = list(self._shelves.values())
        self._shelves.clear()
        await asyncio.gather(*(self._clear(shelf) for shelf in shelves), *self._ending)

    def _fresh(self, shelf: _Shelf) -> HandlerProcess | None:
        while shelf.processes:
            process = shelf.processes.popleft()
            if not process.ended:
                return process
            self._in_background(process.close())
        return None

    async def _fill(self, shelf: _Shelf, start: Start) -> None:
        while len(shelf.processes) < self._count:
            try:
                async with self._starting_spare, self._starting:
                    shelf.processes.append(await start())
            except CapeError as error:
                # The next client's own start will tell.
                _log.warning("no spare process could be started", extra={"code": error.code})
                return

    def _make_room(self) -> None:
        while len(self._shelves) > self._functions:
            longest_unused = next(iter(self._shelves))
            self._in_background(self._clear(self._shelves.pop(longest_unused)))

    def _renew(self, code: Path, shelf: _Shelf) -> None:
        if shelf.expiry is not None:
            shelf.expiry.cancel()
        loop = asyncio.get_running_loop()
        shelf.expiry = loop.call_later(self._idle_seconds, lambda: self._in_background(self.drop(code)))

    async def _clear(self, shelf: _Shelf) -> None:
        if shelf.expiry is not None:
            shelf.expiry.cancel()
        if shelf.filling is not None:
            shelf.filling.cancel()
            await asyncio.gather(shelf.filling, return_exceptions=True)
        await asyncio.gather(*(process.close() for process in shelf.processes))
        shelf.processes.clear()

    def _in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
