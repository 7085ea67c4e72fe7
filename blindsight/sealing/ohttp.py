"""Oblivious HTTP encapsulation (RFC 9458, section 4).

For each request the sender has a `ResponseOpener` and the recipient a `ResponseSealer`. Both hold the secret that binds
the answer to the request; their representations do not reveal it.
"""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag

from blindsight.errors import SealingError
from blindsight.sealing import hpke, labeled
from blindsight.sealing.kem import KEMS, cannot_open
from blindsight.sealing.keyconfig import KeyConfig, malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from blindsight.sealing.kem import PrivateKey

REQUEST_MEDIA_TYPE: Final = "message/ohttp-req"
RESPONSE_MEDIA_TYPE: Final = "message/ohttp-res"

_REQUEST_LABEL = b"message/bhttp request"
_RESPONSE_LABEL = b"message/bhttp response"
_HEADER = struct.Struct(">BHHH")

MAX_REQUEST_OVERHEAD: Final = _HEADER.size + max(kem.enc_bytes for kem in KEMS.values()) + hpke.N_TAG
"""Maximum number of bytes that encapsulation adds to a binary HTTP request: 7 + 1120 + 16."""

_MIN_REQUEST_BYTES = _HEADER.size + min(kem.enc_bytes for kem in KEMS.values()) + hpke.N_TAG


class _ResponseSecrets:
    """The key derivation of section 4.4, the same on both sides."""

    def __init__(self, context: hpke.SenderContext | hpke.RecipientContext, enc: bytes) -> None:
        self._suite = context.suite
        self._enc = enc
        self._nonce_bytes = max(hpke.N_NONCE, self._suite.key_bytes)
        self._secret = context.export(_RESPONSE_LABEL, self._nonce_bytes)

    def _aead(self, response_nonce: bytes) -> tuple[hpke.Aead, bytes]:
        key = labeled.hkdf_extract(self._enc + response_nonce, self._secret)
        aead_key = labeled.hkdf_expand(key, b"key", self._suite.key_bytes)
        return self._suite.aead(aead_key), labeled.hkdf_expand(key, b"nonce", hpke.N_NONCE)


class ResponseOpener(_ResponseSecrets):
    """The sender's secret for decrypting the single answer."""

    def open(self, response: bytes) -> bytes:
        """Decrypt a `message/ohttp-res` to its binary HTTP response. Raises `SealingError`."""
        nonce, ciphertext = response[: self._nonce_bytes], response[self._nonce_bytes :]
        aead, aead_nonce = self._aead(nonce)
        try:
            return aead.decrypt(aead_nonce, ciphertext, b"")
        except InvalidTag as error:
            raise cannot_open() from error


class ResponseSealer(_ResponseSecrets):
    """The recipient's secret for encrypting the single answer."""

    def seal(self, response: bytes, *, response_nonce: bytes | None = None) -> bytes:
        """Encrypt a binary HTTP response as `message/ohttp-res`. `response_nonce` is for test vectors only."""
        nonce = response_nonce or secrets.token_bytes(self._nonce_bytes)
        aead, aead_nonce = self._aead(nonce)
        return nonce + aead.encrypt(aead_nonce, response, b"")


def encapsulate(
    config: KeyConfig,
    request: bytes,
    *,
    suite: hpke.Suite | None = None,
    ephemeral: X25519PrivateKey | None = None,
) -> tuple[bytes, ResponseOpener]:
    """Encapsulate a binary HTTP `request` to `config`; returns the `message/ohttp-req` and the opener of its answer.

    `suite` defaults to the first in the configuration; `ephemeral` is for test vectors only.
    """
    suite = suite or config.suites[0]
    header = _HEADER.pack(config.key_id, suite.kem_id, suite.kdf_id, suite.aead_id)
    enc, context = hpke.setup_sender(config.public_key, _REQUEST_LABEL + b"\x00" + header, suite, ephemeral=ephemeral)
    return header + enc + context.seal(request), ResponseOpener(context, enc)


@dataclass(frozen=True)
class RecipientKey:
    """A private key and its published key configuration."""

    config: KeyConfig
    private_key: PrivateKey

    def __repr__(self) -> str:
        return f"RecipientKey(key_id={self.config.key_id})"


def key_id_of(request: bytes | memoryview) -> int:
    """The key id in a `message/ohttp-req`. Raises `SealingError`."""
    return _parse_header(request)[0]


def decapsulate(key: RecipientKey, request: bytes) -> tuple[bytes, bytes, ResponseSealer]:
    """Decapsulate a `message/ohttp-req`; returns the encapsulated key (which identifies the message for replay
    protection), the request, and the sealer of its answer.

    Raises `SealingError`: `unknown_key` if the message is for another key or cipher suite, else `cannot_open`.
    """
    enc, context, ciphertext = _recipient(key, request)
    return enc, context.open(ciphertext), ResponseSealer(context, enc)


def decapsulate_into(
    key: RecipientKey, request: bytes | memoryview, room: Callable[[int], memoryview]
) -> tuple[bytes, memoryview, ResponseSealer]:
    """As `decapsulate`, for long messages: decrypts into the writable memory that `room(length)` returns."""
    enc, context, ciphertext = _recipient(key, request)
    opened = room(len(ciphertext) - hpke.N_TAG)
    context.open_into(ciphertext, opened)
    return enc, opened.toreadonly(), ResponseSealer(context, enc)


def _recipient(key: RecipientKey, request: bytes | memoryview) -> tuple[bytes, hpke.RecipientContext, memoryview]:
    key_id, kem_id, kdf_id, aead_id = _parse_header(request)
    offered = {(suite.kem_id, suite.kdf_id, suite.aead_id): suite for suite in key.config.suites}
    suite = offered.get((kem_id, kdf_id, aead_id))
    if key_id != key.config.key_id or suite is None:
        raise unknown_key()
    at = _HEADER.size + suite.kem.enc_bytes
    if len(request) < at + hpke.N_TAG:
        raise malformed("The encapsulated request is cut short.")
    header, enc = bytes(request[: _HEADER.size]), bytes(request[_HEADER.size : at])
    context = hpke.setup_recipient(enc, key.private_key, _REQUEST_LABEL + b"\x00" + header, suite)
    return enc, context, memoryview(request)[at:]


def unknown_key() -> SealingError:
    """The error that makes a sender fetch and verify the key configurations again."""
    return SealingError("unknown_key", "The message is sealed to a key or cipher that is not offered (any more).")


def _parse_header(request: bytes | memoryview) -> tuple[int, int, int, int]:
    if len(request) < _MIN_REQUEST_BYTES:
        raise malformed("The encapsulated request is cut short.")
    key_id, kem_id, kdf_id, aead_id = _HEADER.unpack_from(request)
    return key_id, kem_id, kdf_id, aead_id
