"""Runs coroutines whose input is complete, so that they never wait for a network."""

from __future__ import annotations

import asyncio
import atexit
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The event loop that all harnesses in this process share: creating one takes longer than most inputs."""
    made = asyncio.new_event_loop()
    atexit.register(made.close)
    return made


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` to its end, and return its result.

    Raises its errors, and also an error in a callback or another task, which the event loop would only log.
    """
    escaped: list[dict[str, Any]] = []
    loop().set_exception_handler(lambda _, context: escaped.append(context))
    result = loop().run_until_complete(coroutine)
    for context in escaped:
        raise context.get("exception") or AssertionError(context["message"])
    return result


def reader(data: bytes) -> asyncio.StreamReader:
    """A stream with the content `data`, followed by end of file."""
    stream = asyncio.StreamReader(loop=loop())
    stream.feed_data(data)
    stream.feed_eof()
    return stream
