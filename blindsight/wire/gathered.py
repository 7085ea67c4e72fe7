"""Bytes that may be many, in memory of their own."""

from __future__ import annotations

import mmap
from typing import Final

PIECE_BYTES: Final = 1 << 20
"""Of what is copied at once."""

_OWN_PAGES_BYTES: Final = 256 * 1024
"""From here on memory is asked of the system. Below, the interpreter's is ready at once, and costs no page faults."""


class Gathered:
    """Up to `limit` bytes that come in pieces. Only what was written takes memory; all goes back with the last view.

    A `bytes` of 64 MiB, or a `bytearray`, costs its maker a tenth of a second, in which nothing else runs: the system
    gives its pages one by one, under the interpreter's lock.
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
        """Take the next bytes. Raises `ValueError` if they are too many."""
        self.reserve(len(piece))[:] = piece

    def reserve(self, count: int) -> memoryview:
        """Room for the next `count` bytes, for the caller to fill. Raises `ValueError` if they are too many."""
        if count > len(self._memory) - self._length:
            raise ValueError("more than was announced")
        self._length += count
        return self._memory[self._length - count : self._length]

    @property
    def content(self) -> memoryview:
        """What has come so far."""
        return self._memory[: self._length].toreadonly()
