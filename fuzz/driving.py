"""Coroutines on inputs that are there as a whole."""

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
    """The event loop of all harnesses in this process."""
    made = asyncio.new_event_loop()
    atexit.register(made.close)
    return made


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """What `coroutine` returns; everything that it waits for has to be there.

    An error that escapes a callback or another task, which the loop would only log, is raised.
    """
    escaped: list[dict[str, Any]] = []
    loop().set_exception_handler(lambda _, context: escaped.append(context))
    result = loop().run_until_complete(coroutine)
    for context in escaped:
        raise context.get("exception") or AssertionError(context["message"])
    return result


def reader(data: bytes) -> asyncio.StreamReader:
    """A stream of `data` that then ends."""
    stream = asyncio.StreamReader(loop=loop())
    stream.feed_data(data)
    stream.feed_eof()
    return stream
