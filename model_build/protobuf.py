"""Reads protobuf messages. Bytes that two parsers could read as different messages are refused.

The check of a graph and the session that runs it must read the same graph. Parsers of protobuf accept forms that no
writer uses, and differ in them. For example, the one in ONNX Runtime cuts a longer tag to 32 bits, and so finds a known
field where others find an unknown one.

This file is the same in the function and in `model_build`: the bundle of the function and the builder are separate
units, and neither imports the other. `tests/enclave_function/test_copies.py` compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

NUMBER: Final = 0
"""The wire type of numbers of variable length. 1 and 5 are eight and four bytes; ONNX uses no others."""

LENGTH: Final = 2
"""The wire type of bytes, text and messages, which have a length."""

_FIXED: Final = {1: 8, 5: 4}
_TAG_BITS, _LENGTH_BITS, _NUMBER_BITS = 32, 31, 64


@dataclass(frozen=True)
class Field:
    """A field of a message: `kind` is its wire type; `start`, of its tag, and `end` are positions in the message."""

    number: int
    kind: int
    value: int | memoryview
    start: int
    end: int


def fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of `message` in order. Raises `ValueError`."""
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position, _TAG_BITS)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("a field has the number 0")
        value: int | memoryview
        if kind == NUMBER:
            value, position = _varint(message, position, _NUMBER_BITS)
        elif kind == LENGTH:
            length, position = _varint(message, position, _LENGTH_BITS)
            value, position = _slice(message, position, length)
        elif kind in _FIXED:
            value, position = _slice(message, position, _FIXED[kind])
        else:
            raise ValueError(f"a field has the wire type {kind}, which ONNX does not use")
        yield Field(number, kind, value, start, position)


def contents(message: memoryview, numbers: Collection[int]) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of the fields `numbers`, whose values have a length. Raises `ValueError`."""
    for field in fields(message):
        if field.number in numbers:
            if field.kind != LENGTH or isinstance(field.value, int):
                raise ValueError(f"field {field.number} has the wire type {field.kind}, and should have a length")
            yield field.number, field.value


def value(field: Field) -> int:
    """The number in `field`. Raises `ValueError` for another wire type."""
    if not isinstance(field.value, int):
        raise ValueError(f"field {field.number} has the wire type {field.kind}, and should be a number")  # noqa: TRY004 -- as above
    return field.value


def text(content: memoryview) -> str:
    """The text in a field. Raises `ValueError` if it is not UTF-8."""
    return bytes(content).decode()


def _slice(message: memoryview, position: int, length: int) -> tuple[memoryview, int]:
    if position + length > len(message):
        raise ValueError("a field ends beyond its message")
    return message[position : position + length], position + length


def _varint(message: memoryview, position: int, bits: int) -> tuple[int, int]:
    """The number at `position`, in its shortest form and of at most so many `bits`, and the position behind it."""
    number = shift = 0
    while True:
        if position == len(message):
            raise ValueError("a number ends beyond its message")
        byte = message[position]
        number |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if number >> bits or shift > bits + 6:
            raise ValueError(f"a number has more than {bits} bits")
        if byte < 0x80:
            if byte == 0 and shift > 7:
                raise ValueError("a number is longer than necessary")
            return number, position
