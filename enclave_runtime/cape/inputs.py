"""Inputs of one session: sealed to its key, opened without holding up anybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight.cape import envelope
from blindsight.cape.protocol import HPKE_ENC_BYTES, PREFIX
from blindsight.errors import CapeError, SealingError
from blindsight.sealing import hpke
from blindsight.wire.gathered import Gathered
from enclave_runtime import threads

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

_SUITE: Final = hpke.Suite(aead_id=hpke.AEAD_CHACHA20_POLY1305)
_OVERHEAD: Final = HPKE_ENC_BYTES + hpke.N_TAG


class Inputs:
    """The key of a session, made for it alone, and what is sealed to that."""

    def __init__(self) -> None:
        self._key = X25519PrivateKey.generate()

    @property
    def public_key(self) -> bytes:
        """X25519, 32 bytes raw: what the session's evidence names."""
        return self._key.public_key().public_bytes_raw()

    async def open(self, sealed: bytes | memoryview) -> bytes | memoryview:
        """Open one input. Raises `CapeError` (`cannot_decrypt`)."""
        try:
            if len(sealed) < threads.SLOW_BYTES:
                return self._context(sealed).open(bytes(sealed[HPKE_ENC_BYTES:]))
            return await threads.OPENING.run(self._open_long, sealed)
        except SealingError as error:
            raise CapeError("cannot_decrypt", "the input is not sealed to this connection's key") from error

    def _open_long(self, sealed: bytes | memoryview) -> memoryview:
        opened = Gathered(len(sealed) - _OVERHEAD)
        self._context(sealed).open_into(sealed[HPKE_ENC_BYTES:], opened.reserve(len(sealed) - _OVERHEAD))
        return opened.content

    def _context(self, sealed: bytes | memoryview) -> hpke.RecipientContext:
        return hpke.setup_recipient(bytes(sealed[:HPKE_ENC_BYTES]), self._key, b"", _SUITE)


def is_ciphertext(value: bytes | memoryview) -> bool:
    """Whether `value` is for the function owner's Cape Key."""
    return value[: len(PREFIX)] == PREFIX


async def decrypted(key: rsa.RSAPrivateKey, value: bytes | memoryview) -> bytes | memoryview:
    """What the ciphertext `value` stands for. Raises `CapeError` (`cannot_decrypt`)."""
    return await threads.OPENING.run(_decrypted, key, value)


def _decrypted(key: rsa.RSAPrivateKey, value: bytes | memoryview) -> memoryview:
    plaintext = Gathered(len(value))
    for piece in envelope.decrypt_pieces(key, value):
        plaintext.add(piece)
    return plaintext.content
