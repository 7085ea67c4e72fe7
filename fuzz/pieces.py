"""Inputs that consist of several pieces, in a form that small changes of the input keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def pack(pieces: Iterable[tuple[int, bytes]]) -> bytes:
    """The input that `unpack` gives `pieces` of: each a number from 0 to 255 and at most 65535 bytes."""
    return b"".join(bytes([number]) + len(content).to_bytes(2, "big") + content for number, content in pieces)


def unpack(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The pieces in `data`. Anything is some: the last takes what is left."""
    at = 0
    while at < len(data):
        number, length = data[at], int.from_bytes(data[at + 1 : at + 3], "big")
        yield number, data[at + 3 : at + 3 + length]
        at += 3 + length
