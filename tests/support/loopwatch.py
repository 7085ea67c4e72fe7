"""What an event loop's steps cost: processor time of its thread, which other processes do not lengthen."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Watch:
    """`longest` is of any one step, in seconds; `step` says which it was."""

    longest: float = 0.0
    step: str = ""


@contextlib.contextmanager
def watched() -> Iterator[Watch]:
    """Watch every step of the loops of this process while the block lasts."""
    watch, run = Watch(), asyncio.events.Handle._run

    def timed(handle: Any) -> None:
        began = time.thread_time()
        run(handle)
        taken = time.thread_time() - began
        if taken > watch.longest:
            watch.longest, watch.step = taken, repr(handle)

    with mock.patch.object(asyncio.events.Handle, "_run", timed):
        yield watch
