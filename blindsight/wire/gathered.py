"""A growing buffer for large contents."""

from __future__ import annotations

import mmap
from typing import Final

PIECE_BYTES: Final = 1 << 20
"""Number of bytes copied at a time."""

_OWN_PAGES_BYTES: Final = 256 * 1024
"""From this size on, memory comes from the system. Below, the interpreter's memory causes no page faults."""


class Gathered:
    """Collects up to `limit` bytes in pieces. Only written bytes take memory, which is freed with the last view.

    Allocating a `bytes` or `bytearray` of 64 MiB takes a tenth of a second, in which no other thread runs: the system
    provides its pages one by one, while the interpreter lock is held.
    """

    def __init__(self, limit: int) -> None:
        if limit < _OWN_PAGES_BYTES:
            self._memory = memoryview(bytearray(limit))
        else:
            self._memory = memoryview(mmap.mmap(-1, limit, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, piece: bytes | memoryview) -> None:
        """Append bytes. Raises `ValueError` if they exceed the limit."""
        self.reserve(len(piece))[:] = piece

    def reserve(self, count: int) -> memoryview:
        """Reserve the next `count` bytes for the caller to fill. Raises `ValueError` if they exceed the limit."""
        if count > len(self._memory) - self._length:
            raise ValueError("more than was announced")
        self._length += count
        return self._memory[self._length - count : self._length]

    @property
    def content(self) -> memoryview:
        """The bytes collected so far."""
        return self._memory[: self._length].toreadonly()
