"""HPKE base mode with the exporter (RFC 9180), for the KEMs of `blindsight.sealing.kem` and HKDF-SHA256.

Contexts encrypt or decrypt strictly in sequence and are not thread-safe. No function reveals why decryption failed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from blindsight.errors import SealingError
from blindsight.sealing import labeled
from blindsight.sealing.kem import KEMS, X25519_HKDF_SHA256, PrivateKey, cannot_open

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from blindsight.sealing.kem import Kem

KDF_HKDF_SHA256: Final = 0x0001
AEAD_AES_128_GCM: Final = 0x0001
AEAD_AES_256_GCM: Final = 0x0002
AEAD_CHACHA20_POLY1305: Final = 0x0003

N_HASH: Final = 32
N_NONCE: Final = 12
N_TAG: Final = 16
AEAD_KEY_BYTES: Final = {AEAD_AES_128_GCM: 16, AEAD_AES_256_GCM: 32, AEAD_CHACHA20_POLY1305: 32}

_MODE_BASE = b"\x00"


Aead = AESGCM | ChaCha20Poly1305


@dataclass(frozen=True)
class Suite:
    """A cipher suite by its registered numbers. Raises `SealingError` (`unsupported_suite`)."""

    kdf_id: int = KDF_HKDF_SHA256
    aead_id: int = AEAD_AES_128_GCM
    kem_id: int = X25519_HKDF_SHA256

    def __post_init__(self) -> None:
        if self.kem_id not in KEMS or self.kdf_id != KDF_HKDF_SHA256 or self.aead_id not in AEAD_KEY_BYTES:
            raise SealingError("unsupported_suite", "This KEM, KDF and AEAD are not supported.")

    @property
    def kem(self) -> Kem:
        return KEMS[self.kem_id]

    @property
    def key_bytes(self) -> int:
        return AEAD_KEY_BYTES[self.aead_id]

    @functools.cached_property
    def identifier(self) -> bytes:
        """`suite_id` of the key schedule (RFC 9180, 5.1)."""
        ids = (self.kem_id, self.kdf_id, self.aead_id)
        return b"HPKE" + b"".join(number.to_bytes(2, "big") for number in ids)

    def aead(self, key: bytes) -> Aead:
        return ChaCha20Poly1305(key) if self.aead_id == AEAD_CHACHA20_POLY1305 else AESGCM(key)


class _Context:
    """The result of the key schedule: an AEAD with a nonce counter, and the exporter."""

    def __init__(self, suite: Suite, shared_secret: bytes, info: bytes) -> None:
        self.suite = suite
        identifier = suite.identifier
        schedule = _schedule(identifier, info)
        secret = labeled.extract(identifier, shared_secret, b"secret", b"")
        self._aead = suite.aead(labeled.expand(identifier, secret, b"key", schedule, suite.key_bytes))
        self._base_nonce = int.from_bytes(labeled.expand(identifier, secret, b"base_nonce", schedule, N_NONCE), "big")
        self._exporter_secret = labeled.expand(identifier, secret, b"exp", schedule, N_HASH)
        self._sequence = 0

    def export(self, context: bytes, length: int) -> bytes:
        """Derive `length` secret bytes bound to `context` (RFC 9180, 5.3)."""
        return labeled.expand(self.suite.identifier, self._exporter_secret, b"sec", context, length)

    def _nonce(self) -> bytes:
        # A sequence of 96 bits does not overflow in practice, so the check of RFC 9180, section 5.2, is left out.
        return (self._base_nonce ^ self._sequence).to_bytes(N_NONCE, "big")


@functools.lru_cache(maxsize=32)
def _schedule(identifier: bytes, info: bytes) -> bytes:
    """`key_schedule_context` (RFC 9180, 5.1). It is not secret, and the same for all messages to a key."""
    psk_id_hash = labeled.extract(identifier, b"", b"psk_id_hash", b"")
    return _MODE_BASE + psk_id_hash + labeled.extract(identifier, b"", b"info_hash", info)


class SenderContext(_Context):
    """The sender's context."""

    def seal(self, plaintext: bytes, aad: bytes = b"") -> bytes:
        """Encrypt the next message; adds 16 bytes."""
        ciphertext = self._aead.encrypt(self._nonce(), plaintext, aad)
        self._sequence += 1
        return ciphertext


class RecipientContext(_Context):
    """The recipient's context."""

    def open(self, ciphertext: bytes | memoryview, aad: bytes = b"") -> bytes:
        """Decrypt the next message; a failure does not advance the sequence (section 5.2). Raises `SealingError`
        (`cannot_open`).
        """
        try:
            plaintext = self._aead.decrypt(self._nonce(), ciphertext, aad)
        except InvalidTag as error:
            raise cannot_open() from error
        self._sequence += 1
        return plaintext

    def open_into(self, ciphertext: bytes | memoryview, plaintext: memoryview, aad: bytes = b"") -> None:
        """As `open`, into a writable `plaintext` of the right length, 16 bytes less. Raises `SealingError`.

        DO NOT USE THE CONTENT OF `plaintext` AFTER A FAILURE.
        """
        if len(ciphertext) != len(plaintext) + N_TAG:
            raise cannot_open()
        try:
            self._aead.decrypt_into(self._nonce(), ciphertext, aad, plaintext)
        except InvalidTag as error:
            raise cannot_open() from error
        self._sequence += 1


def setup_sender(
    public_key: bytes, info: bytes, suite: Suite, *, ephemeral: X25519PrivateKey | None = None
) -> tuple[bytes, SenderContext]:
    """Encapsulate to `public_key`; returns the encapsulated key and the context (RFC 9180, section 5.1.1).

    `ephemeral` is for test vectors only. Raises `SealingError` for a public key of low order.
    """
    secret, enc = suite.kem.encapsulate(public_key, ephemeral)
    return enc, SenderContext(suite, secret, info)


def setup_recipient(enc: bytes, private_key: PrivateKey, info: bytes, suite: Suite) -> RecipientContext:
    """Decapsulate `enc` with `private_key` (RFC 9180, 5.1.1). Raises `SealingError`."""
    return RecipientContext(suite, suite.kem.decapsulate(private_key, enc), info)
