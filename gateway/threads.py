"""Threads of one service that can stand still, so that it takes none of those that everything else shares."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Threads:
    """At most `number` calls at a time; others wait. A cancelled caller leaves its call running, in its place.

    The threads end when this object is no longer used.
    """

    def __init__(self, name: str, number: int) -> None:
        """`name` is the threads' prefix."""
        self._executor = ThreadPoolExecutor(number, name)
        self._number = number
        self._running: set[Future[Any]] = set()
        self._places: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """The result of `work(*arguments)`, or its exception."""
        loop = asyncio.get_running_loop()
        if self._places is None or self._places[0] is not loop:
            self._places = loop, asyncio.Semaphore(self._number)
        places = self._places[1]
        # Those that wait are not in the executor's queue, which a cancellation would not take them from.
        await places.acquire()
        started: Future[T]
        try:
            started = self._executor.submit(contextvars.copy_context().run, work, *arguments)
        except BaseException:
            places.release()
            raise

        def leave(ended: Future[T]) -> None:
            self._running.discard(ended)
            with contextlib.suppress(RuntimeError):  # The loop has ended.
                loop.call_soon_threadsafe(places.release)

        self._running.add(started)
        started.add_done_callback(leave)
        return await asyncio.wrap_future(started)

    async def settle(self, seconds: float) -> None:
        """Wait until the calls that run now have ended, at most so long."""
        await asyncio.to_thread(wait, set(self._running), seconds)
