"""Bytes of protobuf messages, written by hand: also forms that no writer uses."""

from __future__ import annotations


def varint(number: int, *, more: int = 0) -> bytes:
    """`number` in its shortest form, or with so many further bytes that mean nothing."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    if more:
        encoded[-1] |= 0x80
        encoded += b"\x80" * (more - 1) + b"\0"
    return bytes(encoded)


def field(number: int, content: bytes, *, kind: int = 2) -> bytes:
    """A field: with a length, or of another wire type."""
    return varint(number << 3 | kind) + (varint(len(content)) if kind == 2 else b"") + content
