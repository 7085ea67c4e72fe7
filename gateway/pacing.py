"""Callers who come back before `Retry-After` has passed wait, instead of costing another refusal at once.

Without it, a crowd that asks again as soon as it is refused takes the processors from the work that others wait for.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

FIRST_WAIT: Final = 0.25
"""Seconds that the first request waits that came too early; each further one in a row waits twice as long."""
_DOUBLINGS: Final = 3
LONGEST_WAIT: Final = FIRST_WAIT * (1 << _DOUBLINGS)
_MOST_KEPT: Final = 4096
"""Standings kept of connections that were closed."""


FREE_DENIALS: Final = 32
"""Requests without a good token, close together, that wait for nothing."""
DENIED_SECONDS: Final = 1.0
"""For which a caller should stay away that had more."""
_FORGOTTEN_SECONDS: Final = 10.0
"""After the last denial."""


@dataclass
class Standing:
    """How a caller keeps to what it is told. Times are the event loop's."""

    welcome_at: float = 0.0
    """When it may come back."""
    too_early: int = 0
    """Requests in a row that did not wait for it."""
    denials: int = 0
    denied_at: float = 0.0

    def refused(self, now: float, retry_after: float) -> None:
        """It was told to come back in `retry_after` seconds."""
        self.welcome_at = max(self.welcome_at, now + retry_after)

    def denied(self, now: float) -> None:
        """It had no good token; a few such requests are a mistake, many are a load."""
        self.denials = self.denials + 1 if now < self.denied_at + _FORGOTTEN_SECONDS else 1
        self.denied_at = now
        if self.denials > FREE_DENIALS:
            self.refused(now, DENIED_SECONDS)

    def matters(self, now: float) -> bool:
        """Whether a connection that takes this over is treated otherwise than a new one."""
        return self.welcome_at > now or (self.denials > 0 and now < self.denied_at + _FORGOTTEN_SECONDS)

    def wait(self, now: float) -> float:
        """Seconds that a request which comes `now` has to wait."""
        if now >= self.welcome_at:
            self.too_early = 0
            return 0.0
        seconds = LONGEST_WAIT
        if self.too_early < _DOUBLINGS:
            seconds = FIRST_WAIT * float(1 << self.too_early)
            self.too_early += 1
        self.welcome_at = max(self.welcome_at, now + seconds)
        return seconds


class Pacing:
    """Standings of closed connections: the next connection from there takes one over.

    So who connects anew gains nothing, and callers who share an address are not held up for each other as long as they
    keep their connections.
    """

    def __init__(self) -> None:
        self._shared: OrderedDict[str, Standing] = OrderedDict()
        self._kept: OrderedDict[str, deque[Standing]] = OrderedDict()
        self._count = 0

    def keep(self, source: str, standing: Standing, now: float) -> None:
        """The connection of `standing` is closed."""
        if not standing.matters(now):
            return
        self._kept.setdefault(source, deque()).append(standing)
        self._kept.move_to_end(source)
        self._count += 1
        while self._count > _MOST_KEPT:
            self._take(next(iter(self._kept)))

    def shared(self, source: str) -> Standing:
        """The standing of a caller behind a proxy. Its requests come on any of the proxy's connections."""
        standing = self._shared.setdefault(source, Standing())
        self._shared.move_to_end(source)
        if len(self._shared) > _MOST_KEPT:
            self._shared.popitem(last=False)
        return standing

    def take_over(self, source: str, now: float) -> Standing:
        """The standing of a new connection."""
        while source in self._kept:
            standing = self._take(source)
            if standing.matters(now):
                return standing
        return Standing()

    def _take(self, source: str) -> Standing:
        kept = self._kept[source]
        standing = kept.popleft()
        self._count -= 1
        if not kept:
            del self._kept[source]
        return standing
