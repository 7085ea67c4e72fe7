"""Encoder for `CiphertextForRecipient` in the form that AWS KMS uses: CMS EnvelopedData (RFC 5652, section 6) in BER.

`ContentInfo`, `EnvelopedData`, `EncryptedContentInfo` and the content have indefinite lengths; the recipient is in DER,
with a key identifier of 32 bytes. `tests/vectors/kms_envelope.json` contains an answer of the real service.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_ENVELOPED_DATA: Final = bytes.fromhex("06092a864886f70d010703")
_DATA: Final = bytes.fromhex("06092a864886f70d010701")
_VERSION_2: Final = bytes.fromhex("020102")
_AES256_CBC: Final = bytes.fromhex("060960864801650304012a")
# RSAES-OAEP { hash SHA-256, mask generation MGF1 with SHA-256 }, all with NULL parameters (RFC 4055, 4.1).
_OAEP: Final = bytes.fromhex(
    "303c06092a864886f70d010107302fa00f300d06096086480165030402010500"
    "a11c301a06092a864886f70d010108300d06096086480165030402010500"
)
_END: Final = b"\x00\x00"


def seal(content: bytes, key: rsa.RSAPublicKey) -> bytes:
    """Encrypt `content` to `key`: AES-256-CBC with a new key, which RSAES-OAEP (SHA-256) encrypts to the recipient.

    The key identifier is the SHA-256 of the key's SubjectPublicKeyInfo.
    """
    content_key, vector = secrets.token_bytes(32), secrets.token_bytes(16)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(content_key), modes.CBC(vector)).encryptor()
    encrypted = encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    recipient = value(
        0x30,
        _VERSION_2 + value(0x80, hashlib.sha256(spki).digest()) + _OAEP + value(0x04, key.encrypt(content_key, oaep)),
    )
    encrypted_content = indefinite(
        0x30, _DATA + value(0x30, _AES256_CBC + value(0x04, vector)) + indefinite(0xA0, value(0x04, encrypted))
    )
    data = indefinite(0x30, _VERSION_2 + value(0x31, recipient) + encrypted_content)
    return indefinite(0x30, _ENVELOPED_DATA + indefinite(0xA0, data))


def value(tag: int, content: bytes) -> bytes:
    """A BER value with the identifier octet `tag` and a definite length (X.690, section 8.1.3)."""
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def indefinite(tag: int, content: bytes) -> bytes:
    """A BER value of indefinite length, ended by two zero octets (X.690, sections 8.1.3.6 and 8.1.5)."""
    return bytes([tag, 0x80]) + content + _END
