"""One enclave of the fleet: its connections, its verified evidence, and how much it has to do."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Final

from blindsight.sealing import keyconfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blindsight.wire.address import Address
    from gateway.enclave.attested import AttestedEnclave
    from gateway.enclave.connection import EnclaveConnections
    from gateway.enclave.exchange import EnclaveExchange

_ID_DIGITS: Final = 16
_KEPT_SECONDS: Final = 360.0
"""For which a replaced key still leads to its enclave, which accepts it for five minutes."""
_LOST_SECONDS: Final = 150.0
"""Callers rely on evidence for two minutes."""
_MOST_KEPT: Final = 16
"""Of the ids of one address, so that one that restarts again and again leaves some to others."""
_MOST_KEYS: Final = 8
"""Of one enclave that are used, so that it cannot take all ids. Ours have two."""
_FIRST_REST: Final = 0.5
_LONGEST_REST: Final = 30.0


def id_of(address: Address) -> str:
    """The id of the enclave at `address`, 16 hexadecimal digits."""
    return hashlib.sha256(str(address).encode()).hexdigest()[:_ID_DIGITS]


class Member:
    """One enclave. Its `id` depends only on its address, so that it is the same at every gateway."""

    def __init__(
        self, address: Address, connections: EnclaveConnections, enclave: AttestedEnclave, exchange: EnclaveExchange
    ) -> None:
        self.address = address
        self.id = id_of(address)
        self.connections = connections
        self.enclave = enclave
        self.exchange = exchange
        self.outstanding = 0
        """Requests that it holds for this gateway."""
        self.sessions = 0
        """Cape clients that this gateway has connected to it."""
        self._has_left = False
        self._failures = 0
        self._rests_until = 0.0
        self.instance: tuple[str, str] | None = None
        """Which enclave it is, as its evidence said last; None before it was verified."""
        self._published: bytes | None = None
        self._key_ids: frozenset[int] = frozenset()
        self._replaced: dict[int, float] = {}
        self._lost: dict[int, float] = {}

    @property
    def load(self) -> float:
        """Requests to each of its workers, with one more."""
        return (self.outstanding + 1) / max(self.enclave.workers, 1)

    @property
    def session_load(self) -> float:
        """Requests and sessions to each of its workers, with one more."""
        return (self.outstanding + self.sessions + 1) / max(self.enclave.workers, 1)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """It holds one request more while the block runs."""
        self.outstanding += 1
        try:
            yield
        finally:
            self.outstanding -= 1

    def failed(self, now: float) -> None:
        """It lost a request or was too late: it gets none for a while, each time twice as long, if others are there.

        `now` and all other times are `time.monotonic()` in seconds.
        """
        self._rests_until = now + min(_FIRST_REST * 2**self._failures, _LONGEST_REST)
        self._failures = min(self._failures + 1, 10)

    def succeeded(self) -> None:
        self._failures = 0
        self._rests_until = 0.0

    def rests(self, now: float) -> bool:
        """Whether it failed a short while ago."""
        return now < self._rests_until

    def leave(self) -> None:
        """It belongs to the fleet no longer, so its keys are replaced by none."""
        self._has_left = True

    def published_key_ids(self, now: float) -> frozenset[int]:
        """The ids of the keys in its verified evidence (RFC 9458, section 3).

        None without evidence, or if it has more keys than are used.
        """
        known = self.enclave.known
        if known is not None and known.instance != self.instance:
            self._succeed(known.instance, now)
        published = known.key_configs if known and not self._has_left else None
        if published != self._published:
            self._replaced |= dict.fromkeys(self._key_ids, now + _KEPT_SECONDS)
            self._published = published
            found = [config.key_id for config in keyconfig.decode_list(published)] if published else []
            self._key_ids = frozenset(found if len(found) <= _MOST_KEYS else ())
        return self._key_ids

    def key_ids(self, now: float) -> frozenset[int]:
        """The ids of the keys that it may open: those published, and those replaced a short while ago."""
        published = self.published_key_ids(now)
        for key_id in () if self._has_left else self.enclave.retired_key_ids:
            self._replaced.setdefault(key_id, now + _KEPT_SECONDS)
        self._replaced = _newest(self._replaced, now)
        return published | self._replaced.keys()

    def lost_key_ids(self, now: float) -> frozenset[int]:
        """The ids of keys that no enclave has any more: of those that were at this address a short while ago."""
        self._lost = _newest(self._lost, now)
        return frozenset(self._lost)

    def _succeed(self, instance: tuple[str, str], now: float) -> None:
        """Another enclave is at this address from now on."""
        if self.instance is not None:
            self._lost |= dict.fromkeys((*self._replaced, *self._key_ids), now + _LOST_SECONDS)
        self._replaced = {}
        self._key_ids = frozenset()
        self._published = None
        self.instance = instance


def _newest(key_ids: dict[int, float], now: float) -> dict[int, float]:
    """Those whose time has not come, and not too many of them."""
    left = [(key_id, until) for key_id, until in key_ids.items() if now < until]
    return dict(left[-_MOST_KEPT:])
