"""Converts BER lengths of any form to DER lengths (X.690, sections 8.1.3 and 10.1), for a DER decoder.

KMS encodes a part of its envelope with indefinite lengths. Nothing else is changed: the decoder still refuses all other
deviations from DER.
"""

from __future__ import annotations

from typing import Final

MAX_DEPTH: Final = 12
"""Maximum nesting of values; an envelope of KMS has eight levels."""

_INDEFINITE: Final = 0x80
_CONSTRUCTED: Final = 0x20
_LONG_TAG: Final = 0x1F
_MAX_LENGTH_BYTES: Final = 3


def to_der_lengths(data: bytes) -> bytes:
    """Encode the single value in `data` with definite lengths in their shortest form.

    Raises `ValueError` for malformed BER, too deep nesting, and trailing bytes.
    """
    encoded, end = _value(data, 0, len(data), MAX_DEPTH)
    if end != len(data):
        raise ValueError("bytes after the value")
    return encoded


def _value(data: bytes, at: int, end: int, depth: int) -> tuple[bytes, int]:
    """The value at offset `at`, re-encoded, and the offset after it, at most `end`."""
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
    """The values up to the end-of-contents octets, re-encoded, and the offset after these octets."""
    parts = []
    while data[at : min(at + 2, end)] != b"\x00\x00":
        part, at = _value(data, at, end, depth - 1)
        parts.append(part)
    return b"".join(parts), at + 2


def _length(data: bytes, at: int, end: int) -> tuple[int | None, int]:
    """The length at offset `at`, None for an indefinite one, and the offset of the content."""
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
