"""Decrypts `CiphertextForRecipient`: CMS EnvelopedData (RFC 5652, section 6) in the single form that KMS uses.

One recipient with a key identifier; RSAES-OAEP with SHA-256 and MGF1 with SHA-256 (RFC 4055, section 4.1); AES-256-CBC;
no originator, no attributes. The decoder is that of `cryptography`, which is already in the trusted set.
"""

from __future__ import annotations

from typing import Annotated, Final

from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.x509 import ObjectIdentifier

from blindsight.errors import KmsError
from enclave_runtime.kms.ber import to_der_lengths

MAX_BYTES: Final = 8192
"""Maximum size of an envelope: KMS decrypts at most 6144 bytes (API reference, Decrypt), and adds about 500."""

_KEY_IDENTIFIER_BYTES: Final = 64
_BLOCK_BYTES: Final = 16
_CONTENT_KEY_BYTES: Final = 32

_ENVELOPED_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.3")
_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.1")
_RSAES_OAEP: Final = ObjectIdentifier("1.2.840.113549.1.1.7")
_MGF1: Final = ObjectIdentifier("1.2.840.113549.1.1.8")
_SHA256: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_AES256_CBC: Final = ObjectIdentifier("2.16.840.1.101.3.4.1.42")

_VERSION: Final = 2
"""Version of both structures if the recipient has a key identifier (RFC 5652, sections 6.1 and 6.2.1)."""


@asn1.sequence
class _Hash:
    algorithm: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _MaskGeneration:
    algorithm: ObjectIdentifier
    parameters: _Hash


@asn1.sequence
class _OaepParameters:
    hash_algorithm: Annotated[_Hash, asn1.Explicit(0)]
    mask_generation: Annotated[_MaskGeneration, asn1.Explicit(1)]


@asn1.sequence
class _KeyEncryption:
    algorithm: ObjectIdentifier
    parameters: _OaepParameters


@asn1.sequence
class _Recipient:
    version: int
    key_identifier: Annotated[bytes, asn1.Implicit(0)]
    key_encryption: _KeyEncryption
    encrypted_key: bytes


@asn1.sequence
class _ContentEncryption:
    algorithm: ObjectIdentifier
    initialization_vector: bytes


@asn1.sequence
class _EncryptedContent:
    content_type: ObjectIdentifier
    encryption: _ContentEncryption
    # An OCTET STRING: primitive, or constructed from parts if the BER length is indefinite.
    whole: Annotated[bytes | None, asn1.Implicit(0)]
    parts: Annotated[list[bytes] | None, asn1.Implicit(0)]


@asn1.sequence
class _EnvelopedData:
    version: int
    recipients: asn1.SetOf[_Recipient]
    encrypted: _EncryptedContent


@asn1.sequence
class _ContentInfo:
    content_type: ObjectIdentifier
    content: Annotated[_EnvelopedData, asn1.Explicit(0)]


def unseal(envelope: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """Decrypt an `envelope` that was encrypted to `key`, and return its content.

    Raises `KmsError` (`kms_envelope_invalid`), with the same message for every cause, so that it is no oracle.
    """
    try:
        return _unseal(envelope, key)
    except ValueError as error:
        raise KmsError("kms_envelope_invalid", "The answer is not an envelope of KMS's for this enclave.") from error


def _unseal(envelope: bytes, key: rsa.RSAPrivateKey) -> bytes:
    if len(envelope) > MAX_BYTES:
        raise ValueError("too long")
    info = asn1.decode_der(_ContentInfo, to_der_lengths(envelope))
    data = info.content
    recipients = data.recipients.as_list()
    if info.content_type != _ENVELOPED_DATA or data.version != _VERSION or len(recipients) != 1:
        raise ValueError("not enveloped data for one recipient")
    recipient, encrypted = recipients[0], data.encrypted
    _check_recipient(recipient)
    if encrypted.content_type != _DATA or encrypted.encryption.algorithm != _AES256_CBC:
        raise ValueError("other content, or another cipher")
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    content_key = key.decrypt(recipient.encrypted_key, oaep)
    vector = encrypted.encryption.initialization_vector
    if encrypted.whole is not None and encrypted.parts is not None:
        raise ValueError("two contents")
    content = b"".join(encrypted.parts or ()) if encrypted.whole is None else encrypted.whole
    if len(content_key) != _CONTENT_KEY_BYTES or len(vector) != _BLOCK_BYTES or not content:
        raise ValueError("another key or block size")
    decryptor = Cipher(algorithms.AES256(content_key), modes.CBC(vector)).decryptor()
    unpadder = PKCS7(_BLOCK_BYTES * 8).unpadder()
    return unpadder.update(decryptor.update(content) + decryptor.finalize()) + unpadder.finalize()


def _check_recipient(recipient: _Recipient) -> None:
    encryption = recipient.key_encryption
    mask = encryption.parameters.mask_generation
    if (
        recipient.version != _VERSION
        or not 0 < len(recipient.key_identifier) <= _KEY_IDENTIFIER_BYTES
        or encryption.algorithm != _RSAES_OAEP
        or encryption.parameters.hash_algorithm.algorithm != _SHA256
        or mask.algorithm != _MGF1
        or mask.parameters.algorithm != _SHA256
    ):
        raise ValueError("another key encryption")
