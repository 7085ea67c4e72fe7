"""BER with lengths of any form to DER's lengths (X.690, 8.1.3 and 10.1), for a decoder that reads DER only.

KMS sends some of its envelope with indefinite lengths. Nothing else is changed: what DER forbids beyond that is still
refused by the decoder.
"""

from __future__ import annotations

from typing import Final

MAX_DEPTH: Final = 12
"""Of nested values; an envelope of KMS has eight levels."""

_INDEFINITE: Final = 0x80
_CONSTRUCTED: Final = 0x20
_LONG_TAG: Final = 0x1F
_MAX_LENGTH_BYTES: Final = 3


def to_der_lengths(data: bytes) -> bytes:
    """The one value in `data` with definite, shortest lengths. Raises `ValueError`, also for bytes after it."""
    encoded, end = _value(data, 0, len(data), MAX_DEPTH)
    if end != len(data):
        raise ValueError("bytes after the value")
    return encoded


def _value(data: bytes, at: int, end: int, depth: int) -> tuple[bytes, int]:
    """The value at `at`, encoded anew, and where it ends, which is at `end` at the most."""
    if depth == 0:
        raise ValueError("too deeply nested")
    if end - at < 2:
        raise ValueError("cut off")
    tag = data[at]
    if tag & _LONG_TAG == _LONG_TAG or tag == 0:
        raise ValueError("a tag that no envelope has")
    length, at = _length(data, at + 1, end)
    if length is None:
        if not tag & _CONSTRUCTED:
            raise ValueError("an indefinite length where there is nothing inside")
        content, at = _values(data, at, end, depth)
        return _encoded(tag, content), at
    if length > end - at:
        raise ValueError("cut off")
    inner_end = at + length
    if not tag & _CONSTRUCTED:
        return _encoded(tag, data[at:inner_end]), inner_end
    parts = []
    while at < inner_end:
        part, at = _value(data, at, inner_end, depth - 1)
        parts.append(part)
    return _encoded(tag, b"".join(parts)), inner_end


def _values(data: bytes, at: int, end: int, depth: int) -> tuple[bytes, int]:
    """The values up to the end-of-contents mark, and where that ends."""
    parts = []
    while data[at : min(at + 2, end)] != b"\x00\x00":
        part, at = _value(data, at, end, depth - 1)
        parts.append(part)
    return b"".join(parts), at + 2


def _length(data: bytes, at: int, end: int) -> tuple[int | None, int]:
    """The length at `at`, None for an indefinite one, and where what it measures begins."""
    first = data[at]
    if first < _INDEFINITE:
        return first, at + 1
    if first == _INDEFINITE:
        return None, at + 1
    size = first & 0x7F
    if size > _MAX_LENGTH_BYTES or at + 1 + size > end:
        raise ValueError("a length beyond the message")
    return int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size


def _encoded(tag: int, content: bytes) -> bytes:
    if len(content) < _INDEFINITE:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, _INDEFINITE | len(length)]) + length + content
