"""Durations as Go writes them (`1h30m`, `300s`, `1.5h`), and bare seconds, as pycape's documentation has them."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from typing import Final

_MICROSECONDS: Final[dict[str, Fraction | int]] = {
    "ns": Fraction(1, 1000), "us": 1, "µs": 1, "μs": 1, "ms": 1000,
    "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000,
}  # fmt: skip
_PART: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_MOST: Final = timedelta(days=100 * 365)


def parse_duration(text: str) -> timedelta:
    """The duration that `text` states; never negative. Raises `ValueError`."""
    if text.isascii() and text.isdecimal():
        text += "s"
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        raise ValueError(f'time: invalid duration "{text}"')
    microseconds = sum(Fraction(number.rstrip(".")) * _MICROSECONDS[unit] for number, unit in _PART.findall(text))
    if microseconds > _MOST / timedelta(microseconds=1):
        raise ValueError(f'time: invalid duration "{text}": more than a century')
    return timedelta(microseconds=int(microseconds))
