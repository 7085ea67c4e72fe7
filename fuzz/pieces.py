"""An encoding for inputs of several pieces, in which most mutations of the input give other pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def pack(pieces: Iterable[tuple[int, bytes]]) -> bytes:
    """Encode pieces, each a number from 0 to 255 and a content of at most 65535 bytes.

    A piece is the number (1 byte), the length (2 bytes, big-endian) and the content.

    Raises `ValueError` or `OverflowError` beyond these limits.
    """
    return b"".join(bytes([number]) + len(content).to_bytes(2, "big") + content for number, content in pieces)


def unpack(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Decode pieces. Every input is valid: the last piece may be shorter than its length states."""
    at = 0
    while at < len(data):
        number, length = data[at], int.from_bytes(data[at + 1 : at + 3], "big")
        yield number, data[at + 3 : at + 3 + length]
        at += 3 + length
