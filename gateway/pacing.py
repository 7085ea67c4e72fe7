"""Delays for callers that retry before `Retry-After` has passed, instead of cheap refusals at once.

Without delays, many callers that retry immediately would take processor time from the requests in progress.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

FIRST_WAIT: Final = 0.25
"""Delay of the first early request in seconds; it doubles for each further one in a row."""
_DOUBLINGS: Final = 3
LONGEST_WAIT: Final = FIRST_WAIT * (1 << _DOUBLINGS)
_MOST_KEPT: Final = 4096
"""Maximum number of standings of closed connections."""


FREE_DENIALS: Final = 32
"""Number of requests without a valid token, close together, that are not delayed."""
DENIED_SECONDS: Final = 1.0
"""Time that a caller beyond this number should wait."""
_FORGOTTEN_SECONDS: Final = 10.0
"""Time after the last denial until denials are forgotten."""


@dataclass
class Standing:
    """The retry behaviour of a caller. Times are the event loop's."""

    welcome_at: float = 0.0
    """Earliest time for the next request."""
    too_early: int = 0
    """Early requests in a row."""
    denials: int = 0
    denied_at: float = 0.0

    def refused(self, now: float, retry_after: float) -> None:
        """Record a refusal with `retry_after` seconds."""
        self.welcome_at = max(self.welcome_at, now + retry_after)

    def denied(self, now: float) -> None:
        """Record a request without a valid token; a few are mistakes, many are a load."""
        self.denials = self.denials + 1 if now < self.denied_at + _FORGOTTEN_SECONDS else 1
        self.denied_at = now
        if self.denials > FREE_DENIALS:
            self.refused(now, DENIED_SECONDS)

    def matters(self, now: float) -> bool:
        """Whether a connection with this standing is treated differently from a new one."""
        return self.welcome_at > now or (self.denials > 0 and now < self.denied_at + _FORGOTTEN_SECONDS)

    def wait(self, now: float) -> float:
        """Delay in seconds for a request at the time `now`."""
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
    """Standings of closed connections, which the next connection from the same address takes over.

    So reconnecting gains nothing, and callers that share an address are not delayed for each other while they keep
    their connections.
    """

    def __init__(self) -> None:
        self._shared: OrderedDict[str, Standing] = OrderedDict()
        self._kept: OrderedDict[str, deque[Standing]] = OrderedDict()
        self._count = 0

    def keep(self, source: str, standing: Standing, now: float) -> None:
        """Store the `standing` of a closed connection."""
        if not standing.matters(now):
            return
        self._kept.setdefault(source, deque()).append(standing)
        self._kept.move_to_end(source)
        self._count += 1
        while self._count > _MOST_KEPT:
            self._take(next(iter(self._kept)))

    def shared(self, source: str) -> Standing:
        """The standing of a caller behind a proxy, whose requests use any of the proxy's connections."""
        standing = self._shared.setdefault(source, Standing())
        self._shared.move_to_end(source)
        if len(self._shared) > _MOST_KEPT:
            self._shared.popitem(last=False)
        return standing

    def take_over(self, source: str, now: float) -> Standing:
        """The standing for a new connection."""
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
