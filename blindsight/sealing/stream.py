"""A file encrypted in pieces, so that neither side holds it twice in memory: an owner's secret bundle.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", CRYPTO 2015), laid out as in age (age-encryption.org/v1, "Payload"), with AES-256-GCM:

    file    = magic || salt (32 bytes) || piece 0 || piece 1 || … || last piece
    key     = HKDF-SHA-256(ikm = data key, salt, info = magic), 32 bytes
    nonce   = number of the piece (11 bytes, big-endian) || 1 for the last piece, else 0
    piece   = AES-256-GCM(key, nonce, up to 1 MiB of the content), with its tag of 16 bytes

Only the last piece is shorter than the others, and it is empty only in an empty file. So pieces cannot be left out,
exchanged, repeated or added, and the end cannot be cut off.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from blindsight.errors import KmsError

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC: Final = b"blindsight-sealed-file/1\n"
KEY_BYTES: Final = 32
PIECE_BYTES: Final = 1 << 20
_SALT_BYTES: Final = 32
_TAG_BYTES: Final = 16
HEADER_BYTES: Final = len(MAGIC) + _SALT_BYTES


class Sink(Protocol):
    """The destination of the converted file."""

    def write(self, data: bytes, /) -> object: ...


def seal(read: Callable[[int], bytes], sink: Sink, key: bytes) -> bytes:
    """Encrypt the output of `read(size)` with the data `key` (32 bytes, used only once). Returns its SHA-256."""
    salt = secrets.token_bytes(_SALT_BYTES)
    cipher, digest, number = _cipher(key, salt), hashlib.sha256(), 0
    sink.write(MAGIC + salt)
    piece = _full(read, PIECE_BYTES)
    while True:
        following = _full(read, PIECE_BYTES)
        digest.update(piece)
        sink.write(cipher.encrypt(_nonce(number, last=not following), piece, None))
        if not following:
            return digest.digest()
        piece, number = following, number + 1


def unseal(read: Callable[[int], bytes], sink: Sink, key: bytes, *, limit: int) -> bytes:
    """Decrypt the output of `read(size)`. Returns the content's SHA-256, of at most `limit` bytes.

    DO NOT USE WHAT WAS WRITTEN TO `sink` UNLESS THIS RETURNS. Raises `KmsError` (`sealed_bundle_refused`).
    """
    header = _full(read, HEADER_BYTES)
    if len(header) != HEADER_BYTES or not header.startswith(MAGIC):
        raise KmsError("sealed_bundle_refused", "The bundle is not encrypted as `blindsight bundle encrypt` does it.")
    cipher, digest, number = _cipher(key, header[len(MAGIC) :]), hashlib.sha256(), 0
    sealed = _full(read, PIECE_BYTES + _TAG_BYTES)
    while True:
        following = _full(read, PIECE_BYTES + _TAG_BYTES)
        try:
            piece = cipher.decrypt(_nonce(number, last=not following), sealed, None)
        except (InvalidTag, ValueError) as error:
            raise KmsError(
                "sealed_bundle_refused", "The encrypted bundle was changed, or is for another key."
            ) from error
        limit -= len(piece)
        if limit < 0 or (not piece and number):
            raise KmsError("sealed_bundle_refused", "The encrypted bundle is too long, or ends in an empty piece.")
        digest.update(piece)
        sink.write(piece)
        if not following:
            return digest.digest()
        sealed, number = following, number + 1


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:
        raise KmsError("sealed_bundle_refused", f"The bundle's data key has {len(key)} bytes, not {KEY_BYTES}.")
    return AESGCM(HKDF(hashes.SHA256(), KEY_BYTES, salt=salt, info=MAGIC).derive(key))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _full(read: Callable[[int], bytes], size: int) -> bytes:
    """`size` bytes, or fewer at the end: sockets and pipes return less per read."""
    parts, left = [], size
    while left and (part := read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
