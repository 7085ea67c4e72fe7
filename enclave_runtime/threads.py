"""The runtime's threads, apart by what they do, so that no kind of work waits for another's.

What takes more than a few milliseconds is done in one of them: the event loop stays free. The interpreter's lock
is the other thing that all share, so whatever holds it for long is done in pieces (`base64pieces`, `Gathered`).
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")
B = TypeVar("B", bound=bytes | memoryview)

SLOW_BYTES: Final = 512 * 1024
"""From this size on, decryption, checksums and decoding run in a thread. Below, they take less than half a millisecond,
and the change of threads takes a fifth of one."""

_PROCESSORS: Final = os.cpu_count() or 1


class Threads:
    """At most `count` calls at once, first come first served; and at most `waiting` that wait, if that is given."""

    def __init__(self, name: str, count: int, *, waiting: int | None = None) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._places = None if waiting is None else count + waiting

    async def run(self, call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """What `call` returns, or raises. Raises `CapeError` (`overloaded`) if too much waits already.

        Cancelled, a call that has begun goes on in its thread, and its outcome is dropped.
        """
        if self._places == 0:
            raise CapeError("overloaded", "the enclave is busy with others' requests of this kind")
        if self._places is not None:
            self._places -= 1
        running = self._executor.submit(call, *arguments, **options)
        running.add_done_callback(self._free)
        return await asyncio.wrap_future(running)

    def submit(self, call: Callable[[], None]) -> None:
        """Have `call`, which does not fail, done at some time."""
        self._executor.submit(call)

    def _free(self, _: object) -> None:
        if self._places is not None:
            self._places += 1


async def apart_if_long(call: Callable[[B], T], content: B) -> T:
    """What `call` makes of `content`: at once if that is short, else in a thread of `OPENING`."""
    return await OPENING.run(call, content) if len(content) >= SLOW_BYTES else call(content)


OPENING: Final = Threads("opening", max(2, _PROCESSORS))
"""Decryption of what callers sealed, and checksums of it: what every answer waits for."""

CALLS: Final = Threads("calls", 1)
"""What running functions ask of their owner's key."""

BUNDLES: Final = Threads("bundles", 2)
"""Functions that are received, checked and unpacked."""

KEYS: Final = Threads("keys", max(1, _PROCESSORS // 2), waiting=32)
"""Cape Keys of new accounts, each of which takes a second or more of a processor."""
