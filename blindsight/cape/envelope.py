"""Cape's envelope, for values that only an account's functions can decrypt.

    envelope = RSA-OAEP(key) || nonce (12) || AES-256-GCM ciphertext || tag (16)

OAEP and its MGF1 use SHA-256, the label is empty; the RSA part is as long as the modulus. As text, a value is `cape:`
and the envelope in standard base64; a deployed function is `cape:` and the raw envelope.
"""

from __future__ import annotations

import binascii
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import AEADDecryptionContext, Cipher, algorithms, modes

from blindsight.cape import base64pieces
from blindsight.cape.constants import PREFIX
from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_MAX_WHITE_SPACE: Final = 64
_LEAST_BITS: Final = 2048
"""Minimum size of an RSA public key. Cape Keys have 4096 bits."""
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


class Encryptor:
    """Writes an envelope piece by piece: `start`, any number of `update`s, `finish`."""

    def __init__(self, public_key: rsa.RSAPublicKey) -> None:
        key, nonce = os.urandom(_KEY_BYTES), os.urandom(_NONCE_BYTES)
        self.start: bytes = public_key.encrypt(key, _OAEP) + nonce
        self._cipher = Cipher(algorithms.AES256(key), modes.GCM(nonce)).encryptor()

    def update(self, plaintext: bytes | memoryview) -> bytes:
        return self._cipher.update(plaintext)

    def finish(self) -> bytes:
        return self._cipher.finalize() + self._cipher.tag


class Decryptor:
    """Reads an envelope piece by piece. THE RESULT OF `update` IS UNAUTHENTICATED UNTIL `finish` RETURNS."""

    def __init__(self, private_key: rsa.RSAPrivateKey) -> None:
        self._private_key = private_key
        self._held = bytearray()
        self._cipher: AEADDecryptionContext | None = None

    def update(self, piece: bytes) -> bytes:
        """The plaintext that `piece` completes. Raises `CapeError` (`cannot_decrypt`)."""
        self._held += piece
        if self._cipher is None:
            rsa_bytes = (self._private_key.key_size + 7) // 8
            if len(self._held) < rsa_bytes + _NONCE_BYTES:
                return b""
            key = self._unwrap(bytes(self._held[:rsa_bytes]))
            nonce = bytes(self._held[rsa_bytes : rsa_bytes + _NONCE_BYTES])
            del self._held[: rsa_bytes + _NONCE_BYTES]
            self._cipher = Cipher(algorithms.AES256(key), modes.GCM(nonce)).decryptor()
        ready = len(self._held) - _TAG_BYTES  # The last bytes may be the tag.
        if ready <= 0:
            return b""
        plaintext = self._cipher.update(bytes(self._held[:ready]))
        del self._held[:ready]
        return plaintext

    def finish(self) -> None:
        """Authenticate everything that was read. Raises `CapeError` (`cannot_decrypt`)."""
        if self._cipher is None or len(self._held) != _TAG_BYTES:
            raise cannot_decrypt()
        try:
            self._cipher.finalize_with_tag(bytes(self._held))
        except InvalidTag as error:
            raise cannot_decrypt() from error

    def _unwrap(self, wrapped: bytes) -> bytes:
        try:
            key = self._private_key.decrypt(wrapped, _OAEP)
        except ValueError as error:
            raise cannot_decrypt() from error
        if len(key) != _KEY_BYTES:
            raise cannot_decrypt()
        return key


def encrypt(public_key: rsa.RSAPublicKey, plaintext: bytes) -> bytes:
    """Encrypt `plaintext`; returns `cape:` and base64."""
    return b"".join(encrypt_pieces(public_key, plaintext))


def encrypt_pieces(public_key: rsa.RSAPublicKey, plaintext: bytes | memoryview) -> Iterator[bytes]:
    """As `encrypt`, in pieces."""
    yield PREFIX
    yield from base64pieces.encoded_of(_envelope(public_key, memoryview(plaintext)))


def _envelope(public_key: rsa.RSAPublicKey, plaintext: memoryview) -> Iterator[bytes]:
    writer = Encryptor(public_key)
    yield writer.start
    for start in range(0, len(plaintext), base64pieces.PIECE_BYTES):
        yield writer.update(plaintext[start : start + base64pieces.PIECE_BYTES])
    yield writer.finish()


def decrypt(private_key: rsa.RSAPrivateKey, value: bytes | memoryview) -> bytes:
    """Decrypt a value of any Cape client. White space at the end is ignored, because shells add it.

    Raises `CapeError` (`cannot_decrypt`).
    """
    return b"".join(decrypt_pieces(private_key, value))


def decrypt_pieces(private_key: rsa.RSAPrivateKey, value: bytes | memoryview) -> Iterator[bytes]:
    """As `decrypt`, in pieces, UNAUTHENTICATED UNTIL THE ITERATOR ENDS. Raises `CapeError` (`cannot_decrypt`)."""
    text = memoryview(value)
    if bytes(text[: len(PREFIX)]) != PREFIX:
        raise cannot_decrypt()
    text = text[len(PREFIX) : _without_white_space(text)]
    reader = Decryptor(private_key)
    try:
        for piece in base64pieces.decoded(text):
            yield reader.update(piece)
    except (binascii.Error, ValueError) as error:
        raise cannot_decrypt() from error
    reader.finish()


def _without_white_space(text: memoryview) -> int:
    """The length of `text` without a few trailing characters of white space."""
    end = bytes(text[-_MAX_WHITE_SPACE:])
    return len(text) - len(end) + len(end.rstrip(b" \r\n\t"))


def cannot_decrypt() -> CapeError:
    """The single error of every failure, so that callers do not learn which stage failed."""
    return CapeError("cannot_decrypt", "the value cannot be decrypted with this function owner's key")


def load_public_key(der: bytes) -> rsa.RSAPublicKey:
    """Parse a Cape Key from SubjectPublicKeyInfo in DER. Raises `CapeError` (`bad_cape_key`)."""
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CapeError("bad_cape_key", "key in unexpected format: not a public key") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _LEAST_BITS:
        raise CapeError("bad_cape_key", f"key in unexpected format: not an RSA key of {_LEAST_BITS} bits or more")
    return key
