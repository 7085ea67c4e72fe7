"""HPKE base mode with the exporter (RFC 9180), for DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256.

Contexts seal or open exactly in sequence and are not thread-safe. No function says why opening failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from blindsight.errors import SealingError

KEM_X25519_HKDF_SHA256: Final = 0x0020
KDF_HKDF_SHA256: Final = 0x0001
AEAD_AES_128_GCM: Final = 0x0001
AEAD_AES_256_GCM: Final = 0x0002
AEAD_CHACHA20_POLY1305: Final = 0x0003

N_ENC: Final = 32
"""Bytes of an encapsulated key, a public key and a private key of the X25519 KEM (RFC 9180, 7.1)."""
N_HASH: Final = 32
N_NONCE: Final = 12
N_TAG: Final = 16
AEAD_KEY_BYTES: Final = {AEAD_AES_128_GCM: 16, AEAD_AES_256_GCM: 32, AEAD_CHACHA20_POLY1305: 32}

_MODE_BASE = b"\x00"
_VERSION = b"HPKE-v1"
_KEM_SUITE = b"KEM" + KEM_X25519_HKDF_SHA256.to_bytes(2, "big")


Aead = AESGCM | ChaCha20Poly1305


@dataclass(frozen=True)
class Suite:
    """The symmetric half of a cipher suite; the KEM is X25519."""

    kdf_id: int = KDF_HKDF_SHA256
    aead_id: int = AEAD_AES_128_GCM

    def __post_init__(self) -> None:
        if self.kdf_id != KDF_HKDF_SHA256 or self.aead_id not in AEAD_KEY_BYTES:
            raise SealingError("unsupported_suite", "This KDF and AEAD are not supported.")

    @property
    def key_bytes(self) -> int:
        return AEAD_KEY_BYTES[self.aead_id]

    @property
    def identifier(self) -> bytes:
        """`suite_id` of the key schedule (RFC 9180, 5.1)."""
        ids = (KEM_X25519_HKDF_SHA256, self.kdf_id, self.aead_id)
        return b"HPKE" + b"".join(number.to_bytes(2, "big") for number in ids)

    def aead(self, key: bytes) -> Aead:
        return ChaCha20Poly1305(key) if self.aead_id == AEAD_CHACHA20_POLY1305 else AESGCM(key)


class _Context:
    """The outcome of the key schedule: an AEAD with a counted nonce, and the exporter."""

    def __init__(self, suite: Suite, shared_secret: bytes, info: bytes) -> None:
        self.suite = suite
        identifier = suite.identifier
        psk_id_hash = _labeled_extract(identifier, b"", b"psk_id_hash", b"")
        info_hash = _labeled_extract(identifier, b"", b"info_hash", info)
        schedule = _MODE_BASE + psk_id_hash + info_hash
        secret = _labeled_extract(identifier, shared_secret, b"secret", b"")
        self._aead = suite.aead(_labeled_expand(identifier, secret, b"key", schedule, suite.key_bytes))
        self._base_nonce = int.from_bytes(_labeled_expand(identifier, secret, b"base_nonce", schedule, N_NONCE), "big")
        self._exporter_secret = _labeled_expand(identifier, secret, b"exp", schedule, N_HASH)
        self._sequence = 0

    def export(self, context: bytes, length: int) -> bytes:
        """Derive `length` secret bytes bound to `context` (RFC 9180, 5.3)."""
        return _labeled_expand(self.suite.identifier, self._exporter_secret, b"sec", context, length)

    def _nonce(self) -> bytes:
        # 96 bits: the sequence cannot overflow before the sun burns out, so section 5.2's check is moot.
        return (self._base_nonce ^ self._sequence).to_bytes(N_NONCE, "big")


class SenderContext(_Context):
    """The sealing end."""

    def seal(self, plaintext: bytes, aad: bytes = b"") -> bytes:
        """Encrypt the next message; adds 16 bytes."""
        ciphertext = self._aead.encrypt(self._nonce(), plaintext, aad)
        self._sequence += 1
        return ciphertext


class RecipientContext(_Context):
    """The opening end."""

    def open(self, ciphertext: bytes, aad: bytes = b"") -> bytes:
        """Decrypt the next message; one that fails does not count (5.2). Raises `SealingError` (`cannot_open`)."""
        try:
            plaintext = self._aead.decrypt(self._nonce(), ciphertext, aad)
        except InvalidTag as error:
            raise cannot_open() from error
        self._sequence += 1
        return plaintext


def setup_sender(
    public_key: bytes, info: bytes, suite: Suite, *, ephemeral: X25519PrivateKey | None = None
) -> tuple[bytes, SenderContext]:
    """Encapsulate to `public_key` (32 bytes raw): the encapsulated key (32 bytes) and the context (RFC 9180, 5.1.1).

    `ephemeral` is for test vectors only. Raises `SealingError` for a public key of low order.
    """
    ephemeral = ephemeral or X25519PrivateKey.generate()
    enc = ephemeral.public_key().public_bytes_raw()
    return enc, SenderContext(suite, _shared_secret(ephemeral, public_key, enc + public_key), info)


def setup_recipient(enc: bytes, private_key: X25519PrivateKey, info: bytes, suite: Suite) -> RecipientContext:
    """Decapsulate `enc` with `private_key` (RFC 9180, 5.1.1). Raises `SealingError`."""
    kem_context = enc + private_key.public_key().public_bytes_raw()
    return RecipientContext(suite, _shared_secret(private_key, enc, kem_context), info)


def cannot_open() -> SealingError:
    """The one error of every failed decryption: which stage failed is the attacker's question, not the caller's."""
    return SealingError("cannot_open", "The sealed message cannot be opened with this key.")


def extract(salt: bytes, key_material: bytes) -> bytes:
    """HKDF-Extract with SHA-256 (RFC 5869, 2.2)."""
    return HKDF.extract(hashes.SHA256(), salt, key_material)


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869, 2.3)."""
    return HKDFExpand(hashes.SHA256(), length, info).derive(key)


def _shared_secret(private_key: X25519PrivateKey, peer: bytes, kem_context: bytes) -> bytes:
    try:
        # `exchange` refuses an all-zero result, as RFC 9180, 7.1.4 demands.
        dh = private_key.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError as error:
        raise cannot_open() from error
    key = _labeled_extract(_KEM_SUITE, b"", b"eae_prk", dh)
    return _labeled_expand(_KEM_SUITE, key, b"shared_secret", kem_context, N_HASH)


def _labeled_extract(suite_id: bytes, salt: bytes, label: bytes, key_material: bytes) -> bytes:
    return extract(salt, _VERSION + suite_id + label + key_material)


def _labeled_expand(suite_id: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return expand(key, length.to_bytes(2, "big") + _VERSION + suite_id + label + info, length)
