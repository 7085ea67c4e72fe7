"""The arithmetic of windows: what is left of a limit, and when there is more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.ratelimits.policy import Limit


@dataclass(frozen=True)
class Reading:
    """The state of one limit for one caller. Times in seconds from now."""

    limit: Limit
    admitted: bool
    """Whether the cost in question fits."""
    remaining: int
    """Requests or images that are left."""
    until_more: float
    """Time in which there are no more than these."""
    wait: float = 0.0
    """Time until the cost fits; 0 if it does."""


@dataclass(frozen=True)
class SlidingWindow:
    """Counts of the current window and the one before, which counts in proportion to what is left of the current one.

    The algorithm is that of `limits` (sliding window counter): two numbers for each caller, whatever the amount.
    """

    previous: int
    current: int
    left: float
    """Seconds until the current window ends."""

    def used(self, limit: Limit) -> int:
        return math.floor(self.previous * self.left / limit.seconds) + self.current

    def wait(self, limit: Limit, cost: int) -> float:
        """Seconds until `cost` more fit; for a cost above the limit, the time until the limit is unused."""
        if self.used(limit) + cost <= limit.amount:
            return 0.0
        room = max(0, limit.amount - cost - self.current)
        if self.current + cost <= limit.amount:
            # Only the previous window is in the way: its share has to fall below one more than the room.
            return max(0.0, self.left - (room + 1) * limit.seconds / self.previous)
        room = max(0, limit.amount - cost)
        share = min(float(limit.seconds), (room + 1) * limit.seconds / self.current)
        return self.left + limit.seconds - share

    def reading(self, limit: Limit, cost: int, *, admitted: bool) -> Reading:
        """The state for a caller whose `cost` was counted, if it was `admitted`."""
        remaining = max(0, limit.amount - self.used(limit))
        unused = self.previous == 0 and self.current == 0
        until_more = float(limit.seconds) if unused else self.wait(limit, min(remaining + 1, limit.amount))
        return Reading(limit, admitted, remaining, until_more, 0.0 if admitted else self.wait(limit, cost))


def fixed_reading(limit: Limit, count: int, left: float, *, admitted: bool) -> Reading:
    """The state of a fixed window that ends in `left` seconds."""
    return Reading(limit, admitted, max(0, limit.amount - count), left, 0.0 if admitted else left)


class Counters(Protocol):
    """The counters of all callers."""

    async def watch(self) -> None:
        """What has to be done in the background, until cancelled."""
        ...

    async def take(self, limit: Limit, caller: str, cost: int) -> Reading:
        """Count `cost` if it fits; otherwise count nothing. Atomic."""
        ...

    async def look(self, limit: Limit, caller: str, cost: int) -> Reading:
        """Whether `cost` would fit."""
        ...

    async def give_back(self, limit: Limit, caller: str, count: int) -> None:
        """Undo `count` of a limit with a fixed window."""
        ...
