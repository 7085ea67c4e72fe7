"""The keys of the sealed lane. They are made here, replaced on a schedule, and never stored or sent.

Oblivious HTTP (RFC 9458): section 6.5 on replays, section 6.6 on forward secrecy.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight.sealing import keyconfig, ohttp
from blindsight.sealing.kem import MLKEM768_X25519, X25519_HKDF_SHA256, HybridPrivateKey
from blindsight.wire.gathered import Gathered
from blindsight.wire.protocol import MAX_KEY_IDS

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_SECONDS: Final = 3600.0
"""Lifetime of a pair of keys in seconds, which bounds what a stolen key decrypts (RFC 9458, section 6.6)."""

GRACE_SECONDS: Final = 300.0
"""Seconds for which replaced keys still decrypt: callers rely on evidence for two minutes."""

FIRST_SHARE: Final = (0.5, 1.0)
"""Of this lifetime the first pair has a random share, so that enclaves that start together replace theirs apart."""

MOST_AVOIDED: Final = 6
"""Pairs that are replaced because of their ids within a grace, however often a gateway asks for it."""

MAX_OPENED: Final = 1 << 19
"""Number of messages after which a pair of keys is replaced early. All are remembered, which takes about 50 MB."""

_FINGERPRINT_BYTES = 16
_TOLD_SECONDS: Final = 10.0
_MOST_TOLD: Final = 16
"""Lists of key ids that are remembered, for so long: several gateways may tell different ones."""


@dataclass(frozen=True)
class Opened:
    """A decrypted `message/ohttp-req`: the binary HTTP request, the sealer of its answer, whether it is a replay."""

    request: bytes | memoryview = field(repr=False)
    sealer: ohttp.ResponseSealer = field(repr=False)
    replayed: bool


class _Generation:
    """A pair of keys, and the messages decrypted with them.

    The messages are remembered for as long as the keys exist, so that detecting replays does not depend on a clock.
    """

    def __init__(self, taken: set[int]) -> None:
        hybrid, x25519 = HybridPrivateKey.generate(), X25519PrivateKey.generate()
        # With random ids the gateway can distinguish most outdated keys from damaged messages.
        first, second = secrets.SystemRandom().sample(sorted(set(range(MAX_KEY_IDS)) - taken), 2)
        self.public_key = x25519.public_key().public_bytes_raw()
        self.keys = {
            first: ohttp.RecipientKey(keyconfig.offered(first, hybrid.public_bytes(), MLKEM768_X25519), hybrid),
            second: ohttp.RecipientKey(keyconfig.offered(second, self.public_key, X25519_HKDF_SHA256), x25519),
        }
        self.encoded_configs = keyconfig.encode_list([key.config for key in self.keys.values()])
        self._opened: set[bytes] = set()

    @property
    def used_up(self) -> bool:
        return len(self._opened) >= MAX_OPENED

    def take(self, enc: bytes) -> bool:
        """Remember a message by its encapsulated key. Returns True if it was seen before.

        Call it only for messages that decrypted, so that invalid ones cannot fill the memory.
        """
        fingerprint = hashlib.sha256(enc).digest()[:_FINGERPRINT_BYTES]
        taken = fingerprint in self._opened
        self._opened.add(fingerprint)
        return taken


class LaneKeys:
    """The keys that requests are encrypted to, and their published configurations. Every use rotates them if due.

    Thread-safe. `key_seconds` is the lifetime, `grace_seconds` the additional time in which replaced keys decrypt;
    `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        *,
        key_seconds: float = KEY_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key_seconds = key_seconds
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._lock = threading.Lock()
        """Never held during a decryption, so that threads decrypt in parallel."""
        self._current = _Generation(set())
        self._retired: dict[_Generation, float] = {}
        """Replaced generations, and the time at which each is erased."""
        self._due = clock() + key_seconds * secrets.SystemRandom().uniform(*FIRST_SHARE)
        self._told: dict[frozenset[int], float] = {}
        """Key ids of others, and when a gateway told them; the newest last."""

    @property
    def published(self) -> tuple[bytes, bytes]:
        """The current keys: the `application/ohttp-keys` list (RFC 9458, section 3), and the X25519 key (32 bytes)."""
        with self._lock:
            self._rotate()
            return self._current.encoded_configs, self._current.public_key

    @property
    def encoded_configs(self) -> bytes:
        return self.published[0]

    @property
    def public_key(self) -> bytes:
        return self.published[1]

    @property
    def retired_ids(self) -> bytes:
        """The ids of replaced keys that still decrypt, a byte each, the oldest first."""
        with self._lock:
            self._rotate()
            return bytes(key_id for generation in self._retired for key_id in generation.keys)

    def avoid(self, key_ids: frozenset[int], *, of: bytes) -> None:
        """Use none of these key ids, which other enclaves have: an id of one byte tells a gateway whose a message is.

        If the current keys, of which `of` is the digest of the list, have such an id, they are replaced, and decrypt
        for their grace. This happens at most six times within it.
        """
        with self._lock:
            self._rotate()
            now = self._clock()
            self._told.pop(key_ids, None)
            told = {ids: then for ids, then in self._told.items() if now - then < _TOLD_SECONDS}
            self._told = dict([*told.items(), (key_ids, now)][-_MOST_TOLD:])
            if (
                not key_ids.isdisjoint(self._current.keys)
                and of == keyconfig.digest(self._current.encoded_configs)
                and len(self._retired) < MOST_AVOIDED
                and self._are_enough(self._taken | key_ids)
            ):
                self._replace(now)

    def open(self, request: bytes | memoryview) -> Opened:
        """Decrypt a `message/ohttp-req` (RFC 9458, section 4.3).

        Raises `SealingError` for an unknown key, another cipher suite, and a message that cannot be decrypted.
        """
        key_id = ohttp.key_id_of(request)
        with self._lock:
            self._rotate()
            generations = (self._current, *self._retired)
        generation = next((each for each in generations if key_id in each.keys), None)
        if generation is None:
            raise ohttp.unknown_key()
        room = Gathered(len(request)).reserve
        enc, opened, sealer = ohttp.decapsulate_into(generation.keys[key_id], request, room)
        with self._lock:
            return Opened(opened, sealer, generation.take(enc))

    def _rotate(self) -> None:
        now = self._clock()
        self._retired = {generation: until for generation, until in self._retired.items() if now < until}
        if now >= self._due or self._current.used_up:
            self._replace(now)

    def _replace(self, now: float) -> None:
        if not self._are_enough(self._taken):
            # Only a flood of messages uses up keys faster than they expire. The oldest pair is then erased early.
            del self._retired[next(iter(self._retired))]
        taken = self._taken
        # Those of all gateways; if that leaves too few, those of the last one.
        all_told = frozenset().union(*self._told)
        avoided = next((ids for ids in (all_told, *reversed(self._told)) if self._are_enough(taken | ids)), frozenset())
        self._retired[self._current] = now + self._grace_seconds
        self._current = _Generation(taken | avoided)
        self._due = now + self._key_seconds

    @property
    def _taken(self) -> set[int]:
        """The ids of its own keys."""
        return {key_id for generation in (self._current, *self._retired) for key_id in generation.keys}

    @staticmethod
    def _are_enough(taken: set[int]) -> bool:
        """Whether two ids are left beside these."""
        return len(taken) <= MAX_KEY_IDS - 2
