"""What a harness is, and what holds for every input of every harness."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_PROCESSOR_SECONDS: Final = 1.0
"""Of one input. Processor time and not the clock's: the machine may be busy with something else."""

KIB: Final = 1024
BASE_BYTES: Final = 512 * KIB
"""Python's heap may grow by that much at any input's peak: error messages, caches of the libraries, event loops."""

FACTOR: Final = 64
"""And by this many bytes for each byte of the input: Python's smallest object for a value of one byte has 28 to 64."""

MAX_DATA_BYTES: Final = 256 * KIB * KIB
"""By which the process may grow in all (RLIMIT_DATA), memory of C and Rust libraries and of `mmap` included; an
allocation beyond it fails, which is a finding."""


class BoundExceededError(AssertionError):
    """An input took more time or memory than is stated here."""


@dataclass(frozen=True)
class Target:
    """One harness.

    `run` takes the input and checks what has to hold of the outcome by `assert`. It may raise `refusals`, the errors
    that the parser documents, and nothing else. `seeds` makes valid inputs, by name, always the same. `max_bytes`
    bounds what the engine tries; `words` are pieces of text that it may insert.
    """

    run: Callable[[bytes], None]
    refusals: tuple[type[Exception], ...]
    seeds: Callable[[], Mapping[str, bytes]]
    max_bytes: int = 4 * KIB
    words: tuple[bytes, ...] = field(default=())
    base_bytes: int = BASE_BYTES
    factor: int = FACTOR


def check(target: Target, data: bytes) -> bool:
    """Run one input; whether it was taken. Raises `BoundExceededError`, or whatever the parser should not have."""
    begun = time.process_time()
    try:
        target.run(data)
        taken = True
    except target.refusals:
        taken = False
    spent = time.process_time() - begun
    if spent > MAX_PROCESSOR_SECONDS:
        raise BoundExceededError(f"{spent:.1f} s of processor time")
    return taken


def check_memory(target: Target, data: bytes) -> int:
    """Run one input and look at the peak of Python's heap, in bytes. Raises as `check`."""
    tracemalloc.start()
    try:
        check(target, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    bound = target.base_bytes + target.factor * len(data)
    if peak > bound:
        raise BoundExceededError(f"{peak} bytes of memory at the peak; {bound} are stated for {len(data)} bytes")
    return peak
