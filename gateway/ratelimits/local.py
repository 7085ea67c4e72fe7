"""Counters in this process, by a monotonic clock, in bounded memory.

The memory storage of `limits` is not used: it scans all counters at each request and depends on the clock of the day.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.ratelimits.windows import Reading, SlidingWindow, fixed_reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ratelimits.policy import Limit

MOST_CALLERS: Final = 50_000
"""Counters kept for each limit and kind of caller, about 12 MB. At the limit, the one unused for longest is dropped."""
_SWEPT_EACH: Final = 2
"""Outdated counters that a new one removes, so that memory shrinks again and no request takes long."""


@dataclass(slots=True)
class _Counter:
    started: float
    previous: int = 0
    current: int = 0


class LocalCounters:
    """Counters of this process. No method waits, so each is atomic."""

    def __init__(self, most: int = MOST_CALLERS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._counters: dict[tuple[Limit, str], OrderedDict[str, _Counter]] = {}
        """By limit and kind of caller: addresses, of which a caller can have many, displace no counter of a token."""

    def __len__(self) -> int:
        return sum(len(each) for each in self._counters.values())

    async def watch(self) -> None:
        """Nothing: outdated counters are removed as new ones come."""

    async def take(self, limit: Limit, caller: str, cost: int) -> Reading:
        now = self._clock()
        counter = self._current(limit, caller, now)
        admitted = self._used(limit, counter, now) + cost <= limit.amount
        if admitted:
            counter.current += cost
        return self._reading(limit, counter, now, cost, admitted=admitted)

    async def look(self, limit: Limit, caller: str, cost: int) -> Reading:
        now = self._clock()
        counter = self._kept(limit, caller).get(caller) or _Counter(now)
        counter = _moved_on(limit, counter, now)
        admitted = self._used(limit, counter, now) + cost <= limit.amount
        return self._reading(limit, counter, now, cost, admitted=admitted)

    async def give_back(self, limit: Limit, caller: str, count: int) -> None:
        counter = self._kept(limit, caller).get(caller)
        if counter is not None:
            counter.current = max(0, counter.current - count)

    def _kept(self, limit: Limit, caller: str) -> OrderedDict[str, _Counter]:
        return self._counters.setdefault((limit, caller.partition(":")[0]), OrderedDict())

    def _current(self, limit: Limit, caller: str, now: float) -> _Counter:
        """The caller's counter, which is stored, for the window of the time `now`."""
        kept = self._kept(limit, caller)
        found = kept.pop(caller, None)
        counter = _Counter(now) if found is None else _moved_on(limit, found, now)
        if found is None:
            for _ in range(_SWEPT_EACH):
                oldest = next(iter(kept), None)
                if oldest is None or (len(kept) < self._most and not _outdated(limit, kept[oldest], now)):
                    break
                del kept[oldest]
        kept[caller] = counter
        return counter

    @staticmethod
    def _used(limit: Limit, counter: _Counter, now: float) -> int:
        return _window(limit, counter, now).used(limit) if limit.sliding else counter.current

    @staticmethod
    def _reading(limit: Limit, counter: _Counter, now: float, cost: int, *, admitted: bool) -> Reading:
        window = _window(limit, counter, now)
        if limit.sliding:
            return window.reading(limit, cost, admitted=admitted)
        return fixed_reading(limit, counter.current, window.left, admitted=admitted)


def _window(limit: Limit, counter: _Counter, now: float) -> SlidingWindow:
    # The sum is rounded: a new window must not be longer than a window.
    left = min(float(limit.seconds), counter.started + limit.seconds - now)
    return SlidingWindow(counter.previous, counter.current, left)


def _moved_on(limit: Limit, counter: _Counter, now: float) -> _Counter:
    """The counter for the window of the time `now`."""
    passed = now - counter.started
    if passed < limit.seconds:
        return counter
    if limit.sliding and passed < 2 * limit.seconds:
        return _Counter(counter.started + limit.seconds, counter.current)
    return _Counter(now)


def _outdated(limit: Limit, counter: _Counter, now: float) -> bool:
    return now - counter.started >= (2 if limit.sliding else 1) * limit.seconds
