"""Harness for Cape's envelopes, arbitrary ones and ones with a valid RSA part, and for base64 in pieces.

The first byte modulo 4 selects: 0, arbitrary text; 1, an envelope in which our key is wrapped, as text; 2, the content
that is wrapped for the key (RSA-OAEP); 3, base64, in pieces of a few bytes and as a whole.
"""

from __future__ import annotations

import base64
import binascii
from functools import cache
from unittest import mock

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from blindsight import strict_base64
from blindsight.cape import base64pieces, envelope
from blindsight.errors import CapeError
from fuzz import registry
from fuzz.target import Target

_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
_AES_KEY, _NONCE = bytes(range(32)), bytes(range(12))
_PEM = registry.HERE / "rsa2048.pem"


@cache
def _key() -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(_PEM.read_bytes(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@cache
def _wrapped() -> bytes:
    return _key().public_key().encrypt(_AES_KEY, _OAEP)


def run(data: bytes) -> None:
    """Check that a value decrypts to what was encrypted, in pieces of any size, and that all else is refused alike."""
    mode, rest = (data[0] % 4, data[1:]) if data else (0, b"")
    if mode == 3:
        _base64(rest)
        return
    try:
        match mode:
            case 0:
                envelope.decrypt(_key(), rest)
            case 1:
                plaintext = envelope.decrypt(_key(), b"cape:" + base64.b64encode(_wrapped() + rest))
                assert AESGCM(_AES_KEY).encrypt(rest[:12], plaintext, b"") == rest[12:]
            case _:
                _unwrapped(rest)
    except CapeError as error:
        assert error.code == "cannot_decrypt"
        raise


def _unwrapped(content: bytes) -> None:
    if len(content) > 190:  # RSA-OAEP with 2048 bits and SHA-256: 256 - 2 * 32 - 2 bytes.
        raise envelope.cannot_decrypt()
    sealed = AESGCM(_AES_KEY).encrypt(_NONCE, b"plaintext", b"")
    reader = envelope.Decryptor(_key())
    opened = b"".join(reader.update(bytes([byte])) for byte in _key().public_key().encrypt(content, _OAEP))
    opened += b"".join(reader.update(bytes([byte])) for byte in _NONCE + sealed)
    reader.finish()
    assert (content, opened) == (_AES_KEY, b"plaintext")


def _base64(text: bytes) -> None:
    with mock.patch.multiple(base64pieces, PIECE_BYTES=12, PIECE_CHARACTERS=16):
        assert b"".join(base64pieces.encoded(text)) == base64.b64encode(text)
        assert b"".join(base64pieces.encoded_of([text[:5], text[5:6], text[6:]])) == base64.b64encode(text)
        try:
            whole = strict_base64.decode(text)
        except binascii.Error:
            whole = None
        try:
            found = b"".join(base64pieces.decoded(text))
        except binascii.Error:
            assert whole is None
            raise envelope.cannot_decrypt() from None
    assert found == whole


def seeds() -> dict[str, bytes]:
    """Valid values, and base64."""
    sealed = _NONCE + AESGCM(_AES_KEY).encrypt(_NONCE, b"plaintext", b"")
    return {
        "text": b"\x00cape:" + base64.b64encode(bytes(256) + sealed) + b"\n",
        "not-cape": b"\x00Cape:AAAA",
        "short": b"\x00cape:AAAA",
        "envelope": b"\x01" + sealed,
        "empty-envelope": b"\x01" + _NONCE + AESGCM(_AES_KEY).encrypt(_NONCE, b"", b""),
        "key": b"\x02" + _AES_KEY,
        "short-key": b"\x02" + _AES_KEY[:16],
        "base64": b"\x03" + base64.b64encode(bytes(range(40))),
        "padding-inside": b"\x03AAAAAAAAAAAAAA==AAAA",
    }


TARGET = Target(run, (CapeError,), seeds, max_bytes=2000, words=(b"cape:", b"=="))
