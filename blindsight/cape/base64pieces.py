"""Standard base64 in pieces, because the library's functions hold the interpreter lock for the whole argument.

A piece takes less than a millisecond, so that other threads can run in between.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from blindsight import strict_base64

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PIECE_BYTES: Final = 192 * 1024
"""Of content: a multiple of three, so that only the last piece's text is padded."""

PIECE_CHARACTERS: Final = PIECE_BYTES // 3 * 4


def encoded(content: bytes | memoryview) -> Iterator[bytes]:
    """Encode `content` in pieces, in order."""
    view = memoryview(content)
    for start in range(0, len(view), PIECE_BYTES):
        yield base64.b64encode(view[start : start + PIECE_BYTES])


def encoded_of(contents: Iterable[bytes]) -> Iterator[bytes]:
    """Encode the concatenation of `contents`, in pieces."""
    held = b""
    for content in contents:
        held += content
        whole = len(held) // 3 * 3
        yield base64.b64encode(held[:whole])
        held = held[whole:]
    yield base64.b64encode(held)


def decoded(text: bytes | memoryview) -> Iterator[bytes]:
    """Decode `text` in pieces, in order. Raises `binascii.Error` for invalid base64, possibly after some pieces."""
    view = memoryview(text)
    for start in range(0, len(view), PIECE_CHARACTERS):
        piece = strict_base64.decode(view[start : start + PIECE_CHARACTERS])
        if len(piece) < PIECE_BYTES and start + PIECE_CHARACTERS < len(view):
            raise binascii.Error("padding before the end")
        yield piece
