"""The definition of a harness, and the bounds on time and memory for every input."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_PROCESSOR_SECONDS: Final = 1.0
"""Limit for one input. Processor time, not wall-clock time, because the machine may be busy with other programs."""

KIB: Final = 1024
BASE_BYTES: Final = 512 * KIB
"""Growth of Python's heap that every input may cause: error messages, caches of libraries, event loops."""

FACTOR: Final = 64
"""Further bytes for each byte of the input: Python's smallest object for a value of one byte takes 28 to 64."""

MAX_DATA_BYTES: Final = 256 * KIB * KIB
"""Growth of the whole process (RLIMIT_DATA), including C and Rust libraries and `mmap`. An allocation beyond it fails,
which is a finding."""


class BoundExceededError(AssertionError):
    """An input exceeded the bound on processor time or memory."""


@dataclass(frozen=True)
class Target:
    """One harness.

    `run` parses the input and checks its invariants with `assert`. It may raise only `refusals`, the errors that the
    parser documents. `seeds` returns inputs by name, always the same. The engine tries inputs of at most `max_bytes`
    bytes, and may insert `words`. An input may take `base_bytes` plus `factor` times its length of Python's heap.
    """

    run: Callable[[bytes], None]
    refusals: tuple[type[Exception], ...]
    seeds: Callable[[], Mapping[str, bytes]]
    max_bytes: int = 4 * KIB
    words: tuple[bytes, ...] = field(default=())
    base_bytes: int = BASE_BYTES
    factor: int = FACTOR


def check(target: Target, data: bytes) -> bool:
    """Run one input. Returns whether the parser accepted it.

    Raises `BoundExceededError` for too much processor time, `AssertionError` for a violated invariant, and any error
    that the parser does not document.
    """
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
    """Run one input, and return the peak of Python's heap in bytes.

    Raises as `check`, and `BoundExceededError` for too much memory.
    """
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
