"""The limits that an operator sets, in the notation of the library `limits`: `10/second;1000/hour`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import limits

Unit = Literal["requests", "images"]

MAX_AMOUNT: Final = 10**15 - 1
"""The largest integer of a structured field (RFC 9651, section 3.3.1)."""


@dataclass(frozen=True)
class Limit:
    """At most `amount` requests or images of one caller within `seconds`."""

    name: str
    """The policy's name in `RateLimit-Policy`, such as `requests-per-second`."""
    unit: Unit
    amount: int
    seconds: int

    @property
    def sliding(self) -> bool:
        """Whether the window slides. A quota's window is fixed: it begins with the first image."""
        return self.unit == "requests"

    @property
    def described(self) -> str:
        """For a sentence: `10 requests per second`."""
        unit, _, period = self.name.replace("-", " ").partition(" per ")
        return f"{self.amount} {unit} per {period}"

    def key(self, caller: str) -> str:
        """The key of a counter. It does not depend on the amount, so that a new amount does not reset the counter."""
        return f"{self.unit}/{self.seconds}/{caller}"


def parse(text: str, unit: Unit) -> list[Limit]:
    """The limits of `text`, those with the shortest window first. Raises `ValueError`, which does not quote `text`."""
    try:
        items = limits.parse_many(text)
    except ValueError as error:
        raise ValueError("write it as 10/second, or 10/second;1000/hour, or 5/2 minutes") from error
    found = [_limit(item, unit) for item in items]
    if len({limit.seconds for limit in found}) < len(found):
        raise ValueError("there are two limits for the same time")
    if not all(0 < limit.amount <= MAX_AMOUNT for limit in found):
        raise ValueError(f"an amount is a number from 1 to {MAX_AMOUNT}")
    if not all(0 < limit.seconds <= MAX_AMOUNT for limit in found):
        raise ValueError("the time is too long")
    return sorted(found, key=lambda limit: limit.seconds)


def _limit(item: limits.RateLimitItem, unit: Unit) -> Limit:
    several = f"{item.multiples}-" if item.multiples > 1 else ""
    plural = "s" if item.multiples > 1 else ""
    return Limit(f"{unit}-per-{several}{item.GRANULARITY.name}{plural}", unit, item.amount, item.get_expiry())
