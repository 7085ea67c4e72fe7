"""Key encapsulation: DHKEM(X25519, HKDF-SHA256) of RFC 9180, and its hybrid with ML-KEM-768.

The hybrid is MLKEM768-X25519 of draft-irtf-cfrg-concrete-hybrid-kems, section 4.2, with the KEM id 0x647A of IANA's
HPKE registry (draft-ietf-hpke-pq). The individual draft that called it X-Wing has expired. Private keys are objects of
`cryptography`, or `HybridPrivateKey`.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from blindsight.errors import SealingError
from blindsight.sealing import labeled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

X25519_HKDF_SHA256: Final = 0x0020
MLKEM768_X25519: Final = 0x647A

SECRET_BYTES: Final = 32

X25519_BYTES: Final = 32
_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_CIPHERTEXT_BYTES = 1088
_MLKEM_SEED_BYTES = 64
_HYBRID_LABEL = b"\\.//^\\"
_DHKEM_SUITE = b"KEM" + X25519_HKDF_SHA256.to_bytes(2, "big")


class HybridPrivateKey:
    """A private key of the hybrid, derived from a seed of 32 random bytes."""

    def __init__(self, seed: bytes) -> None:
        expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED_BYTES + X25519_BYTES)
        self.mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
        self.x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])

    def __repr__(self) -> str:
        return "HybridPrivateKey(<secret>)"

    @classmethod
    def generate(cls) -> HybridPrivateKey:
        return cls(secrets.token_bytes(32))

    def public_bytes(self) -> bytes:
        """The public key, 1216 bytes: ML-KEM's, then X25519's."""
        return self.mlkem.public_key().public_bytes_raw() + self.x25519.public_key().public_bytes_raw()


PrivateKey = X25519PrivateKey | HybridPrivateKey


@dataclass(frozen=True)
class Kem:
    """A key encapsulation mechanism and its sizes in bytes.

    `encapsulate(public key, ephemeral or None)` returns the shared secret (32 bytes) and `enc`; the ephemeral key is
    for test vectors only. `decapsulate(private key, enc)` returns the secret. Both raise `SealingError` for low-order
    keys.
    """

    identifier: int
    name: str
    public_bytes: int
    enc_bytes: int
    encapsulate: Callable[[bytes, X25519PrivateKey | None], tuple[bytes, bytes]]
    decapsulate: Callable[[PrivateKey, bytes], bytes]


def cannot_open() -> SealingError:
    """The single error of every failed decryption, so that an attacker does not learn which stage failed."""
    return SealingError("cannot_open", "The sealed message cannot be opened with this key.")


def _encapsulate_x25519(public_key: bytes, ephemeral: X25519PrivateKey | None) -> tuple[bytes, bytes]:
    ephemeral = ephemeral or X25519PrivateKey.generate()
    enc = ephemeral.public_key().public_bytes_raw()
    return _dhkem_secret(_exchange(ephemeral, public_key), enc + public_key), enc


def _decapsulate_x25519(private_key: PrivateKey, enc: bytes) -> bytes:
    if not isinstance(private_key, X25519PrivateKey):
        raise TypeError("the private key is of another KEM")
    return _dhkem_secret(_exchange(private_key, enc), enc + private_key.public_key().public_bytes_raw())


def _dhkem_secret(dh: bytes, kem_context: bytes) -> bytes:
    """RFC 9180, section 4.1."""
    key = labeled.extract(_DHKEM_SUITE, b"", b"eae_prk", dh)
    return labeled.expand(_DHKEM_SUITE, key, b"shared_secret", kem_context, SECRET_BYTES)


def _encapsulate_hybrid(public_key: bytes, ephemeral: X25519PrivateKey | None) -> tuple[bytes, bytes]:
    mlkem_public, x25519_public = public_key[:_MLKEM_PUBLIC_BYTES], public_key[_MLKEM_PUBLIC_BYTES:]
    try:
        mlkem_secret, mlkem_ciphertext = _mlkem_public_key(mlkem_public).encapsulate()
    except ValueError as error:
        raise cannot_open() from error
    ephemeral = ephemeral or X25519PrivateKey.generate()
    x25519_enc = ephemeral.public_key().public_bytes_raw()
    secret = _combine(mlkem_secret, _exchange(ephemeral, x25519_public), x25519_enc, x25519_public)
    return secret, mlkem_ciphertext + x25519_enc


@functools.lru_cache(maxsize=8)
def _mlkem_public_key(raw: bytes) -> MLKEM768PublicKey:
    """The public key of 1184 bytes, cached because parsing takes as long as encapsulation. Raises `ValueError`."""
    return MLKEM768PublicKey.from_public_bytes(raw)


def _decapsulate_hybrid(private_key: PrivateKey, enc: bytes) -> bytes:
    if not isinstance(private_key, HybridPrivateKey):
        raise TypeError("the private key is of another KEM")
    mlkem_ciphertext, x25519_enc = enc[:_MLKEM_CIPHERTEXT_BYTES], enc[_MLKEM_CIPHERTEXT_BYTES:]
    try:
        mlkem_secret = private_key.mlkem.decapsulate(mlkem_ciphertext)
    except ValueError as error:
        raise cannot_open() from error
    x25519_public = private_key.x25519.public_key().public_bytes_raw()
    return _combine(mlkem_secret, _exchange(private_key.x25519, x25519_enc), x25519_enc, x25519_public)


def _combine(mlkem_secret: bytes, x25519_secret: bytes, x25519_enc: bytes, x25519_public: bytes) -> bytes:
    parts = (mlkem_secret, x25519_secret, x25519_enc, x25519_public, _HYBRID_LABEL)
    return hashlib.sha3_256(b"".join(parts)).digest()


def _exchange(private_key: X25519PrivateKey, peer: bytes) -> bytes:
    try:
        # `exchange` refuses an all-zero result, as RFC 9180, 7.1.4 demands.
        return private_key.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError as error:
        raise cannot_open() from error


_X25519 = Kem(
    X25519_HKDF_SHA256, "DHKEM(X25519, HKDF-SHA256)", X25519_BYTES, X25519_BYTES,
    _encapsulate_x25519, _decapsulate_x25519,
)  # fmt: skip
_HYBRID = Kem(
    MLKEM768_X25519, "MLKEM768-X25519", _MLKEM_PUBLIC_BYTES + X25519_BYTES, _MLKEM_CIPHERTEXT_BYTES + X25519_BYTES,
    _encapsulate_hybrid, _decapsulate_hybrid,
)  # fmt: skip

KEMS: Final[Mapping[int, Kem]] = {kem.identifier: kem for kem in (_HYBRID, _X25519)}
"""The supported KEMs, in order of preference."""
