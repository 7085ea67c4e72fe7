"""Inputs of one session: encrypted to its key, decrypted without blocking other sessions, and each accepted once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight.cape import envelope, tracebacks
from blindsight.cape.constants import HPKE_ENC_BYTES, PREFIX
from blindsight.errors import CapeError, SealingError
from blindsight.sealing import hpke
from blindsight.wire.gathered import Gathered
from enclave_runtime import threads

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

MAX_INPUTS: Final = 1 << 16
"""Of one session, all of which are recorded (about 8 MB); then the client has to open another session."""

_FINGERPRINT_BYTES: Final = 16
_SUITE: Final = hpke.Suite(aead_id=hpke.AEAD_CHACHA20_POLY1305)
_OVERHEAD: Final = HPKE_ENC_BYTES + hpke.N_TAG


@dataclass(frozen=True)
class Input:
    """A decrypted input, and SHA-256 of the encrypted message, which identifies it.

    `traceback_key` encrypts the traceback of code that fails on it in a test.
    """

    value: bytes | memoryview = field(repr=False)
    sealed_sha256: bytes
    traceback_key: bytes = field(repr=False)


class Inputs:
    """The key pair of one session, and the inputs encrypted to it."""

    def __init__(self) -> None:
        self._key = X25519PrivateKey.generate()
        self._taken: set[bytes] = set()

    @property
    def public_key(self) -> bytes:
        """X25519, 32 bytes raw, as in the session's evidence."""
        return self._key.public_key().public_bytes_raw()

    async def open(self, sealed: bytes | memoryview) -> Input:
        """Decrypt one input. Raises `CapeError`: `cannot_decrypt`; `replayed` if it was decrypted before;
        `too_large`.
        """
        try:
            if len(sealed) < threads.SLOW_BYTES:
                opened = self._open_short(sealed)
            else:
                opened = await threads.OPENING.run(self._open_long, sealed)
        except SealingError as error:
            raise CapeError("cannot_decrypt", "the input is not sealed to this connection's key") from error
        # Counted only after it opened: who damages an input on its way has not had it answered.
        self._take(bytes(sealed[:HPKE_ENC_BYTES]))
        return opened

    def _take(self, enc: bytes) -> None:
        fingerprint = hashlib.sha256(enc).digest()[:_FINGERPRINT_BYTES]
        if fingerprint in self._taken:
            raise CapeError("replayed", "the input has been taken before; each is answered once")
        if len(self._taken) >= MAX_INPUTS:
            raise CapeError("too_large", f"a connection takes at most {MAX_INPUTS} inputs; open another")
        self._taken.add(fingerprint)

    def _open_short(self, sealed: bytes | memoryview) -> Input:
        context = self._context(sealed)
        value = context.open(sealed[HPKE_ENC_BYTES:])
        return Input(value, hashlib.sha256(sealed).digest(), tracebacks.key_of(context))

    def _open_long(self, sealed: bytes | memoryview) -> Input:
        opened = Gathered(len(sealed) - _OVERHEAD)
        context = self._context(sealed)
        context.open_into(sealed[HPKE_ENC_BYTES:], opened.reserve(len(sealed) - _OVERHEAD))
        return Input(opened.content, hashlib.sha256(sealed).digest(), tracebacks.key_of(context))

    def _context(self, sealed: bytes | memoryview) -> hpke.RecipientContext:
        return hpke.setup_recipient(bytes(sealed[:HPKE_ENC_BYTES]), self._key, b"", _SUITE)


def is_ciphertext(value: bytes | memoryview) -> bool:
    """Whether `value` is encrypted to the function owner's Cape Key."""
    return value[: len(PREFIX)] == PREFIX


async def decrypted(key: rsa.RSAPrivateKey, value: bytes | memoryview) -> bytes | memoryview:
    """Decrypt `value`. Raises `CapeError` (`cannot_decrypt`)."""
    return await threads.OPENING.run(_decrypted, key, value)


def _decrypted(key: rsa.RSAPrivateKey, value: bytes | memoryview) -> memoryview:
    plaintext = Gathered(len(value))
    for piece in envelope.decrypt_pieces(key, value):
        plaintext.add(piece)
    return plaintext.content
