"""Identifiers of functions and tokens: a version 4 UUID in base 57, 22 characters."""

from __future__ import annotations

import uuid
from typing import Final

ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""Letters and digits that no reader confuses; the most significant digit comes first."""

LENGTH: Final = 22
"""57**22 > 2**128; shorter numbers are filled with the first digit."""


def new() -> str:
    """A fresh identifier."""
    return encode(uuid.uuid4())


def encode(value: uuid.UUID) -> str:
    """The 22 characters of `value`."""
    number, digits = value.int, []
    for _ in range(LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def decode(text: str) -> uuid.UUID:
    """The UUID that `text` stands for. Raises `ValueError` if it is no identifier."""
    if len(text) != LENGTH:
        raise ValueError(f"an identifier has {LENGTH} characters")
    number = 0
    for character in text:
        number = number * len(ALPHABET) + ALPHABET.index(character)
    return uuid.UUID(int=number)


def is_id(text: str) -> bool:
    """Whether `text` is an identifier as `new` makes them."""
    try:
        return decode(text).version == 4
    except ValueError:
        return False
