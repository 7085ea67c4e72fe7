"""Size classes, so that lengths reveal little: zeros after a binary HTTP message (RFC 9292, section 3.8)."""

from __future__ import annotations

from typing import Final

_SMALLEST_REQUEST = 32 * 1024
_MIB = 1 << 20

SMALLEST_ANSWER: Final = 8 * 1024
_ANSWER_BASE = 4096
_CLASS_BASE = 120
_SMALLEST_CLASS = 200
"""Bytes, more than any answer takes: beside its classes, of each class beside its label, of each class in all."""


def request_length(length: int) -> int:
    """The padded length in bytes of a request of `length`: a power of two from 32 KiB to 1 MiB, or whole MiB."""
    if length > _MIB:
        return -(-length // _MIB) * _MIB
    return max(_SMALLEST_REQUEST, _power_of_two(length))


def answer_length(top_k: int, longest_label: int) -> int:
    """The padded length in bytes of every answer to a request for `top_k` classes, including problems.

    `longest_label` is the length of the model's longest label in bytes of JSON: the labels in the answer must not
    influence the result.
    """
    one_class = max(_SMALLEST_CLASS, _CLASS_BASE + longest_label)
    return max(SMALLEST_ANSWER, _power_of_two(_ANSWER_BASE + one_class * max(top_k, 0)))


def padded(message: bytes, length: int) -> bytes:
    """`message` with zeros up to `length` bytes; up to the next power of two if it is longer."""
    return message.ljust(length if len(message) <= length else _power_of_two(len(message)), b"\x00")


def _power_of_two(length: int) -> int:
    return 1 << (length - 1).bit_length()
