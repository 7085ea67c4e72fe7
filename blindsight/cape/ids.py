"""Identifiers of functions and tokens: a version 4 UUID in base 57, 22 characters."""

from __future__ import annotations

import uuid
from typing import Final

ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""Letters and digits that are not easily confused; the most significant digit comes first."""

LENGTH: Final = 22
"""57**22 > 2**128; smaller numbers are padded with the first digit."""


def new() -> str:
    """A new random identifier."""
    return encode(uuid.uuid4())


def encode(value: uuid.UUID) -> str:
    """Encode `value` as 22 characters."""
    number, digits = value.int, []
    for _ in range(LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def decode(text: str) -> uuid.UUID:
    """Decode `text` to a UUID. Raises `ValueError` if it is not an identifier."""
    if len(text) != LENGTH:
        raise ValueError(f"an identifier has {LENGTH} characters")
    number = 0
    for character in text:
        number = number * len(ALPHABET) + ALPHABET.index(character)
    return uuid.UUID(int=number)


def is_id(text: str) -> bool:
    """Whether `text` has the form of identifiers that `new` returns."""
    try:
        return decode(text).version == 4
    except ValueError:
        return False
