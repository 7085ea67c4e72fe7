"""COSE_Sign1 with ES384 (RFC 9052, RFC 9053), the signed structure of an attestation document.

The algorithm is fixed here and never taken from the message: ECDSA on P-384 with SHA-384, protected header {1: -35}.
"""

from __future__ import annotations

from dataclasses import dataclass

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from blindsight import cbor
from blindsight.errors import EvidenceFormatError, EvidenceSignatureError

PROTECTED_ES384 = bytes.fromhex("a1013822")
"""The encoded protected header {alg: ES384}, as the NSM writes it."""

PROTECTED_UNSIGNED = bytes.fromhex("a10120")
"""{1: -1}, which names no algorithm: QEMU's header, with 64 zero bytes as signature."""

TAG_18 = b"\xd2"
"""Head of the optional COSE_Sign1 tag (RFC 9052, section 2)."""

SIGNATURE_BYTES = 96
"""r and s of P-384, 48 bytes each, big-endian."""

_UNSIGNED_BYTES = 64

ES384 = ec.ECDSA(SHA384())


@dataclass(frozen=True)
class Sign1:
    """The `payload` and the raw `signature`, not verified. `unsigned`: the message has QEMU's form without a
    signature.
    """

    payload: bytes
    signature: bytes
    unsigned: bool = False


def parse(data: bytes, *, unsigned: bool = False) -> Sign1:
    """Parse `data`, with or without tag 18. Raises `EvidenceFormatError`.

    With `unsigned`, QEMU's form is accepted, too, which proves nothing.
    """
    try:
        message = cbor.decode(data.removeprefix(TAG_18))
    except cbor.CBORDecodeError as error:
        raise EvidenceFormatError(error.code, str(error)) from error
    if not isinstance(message, list) or len(message) != 4:
        raise EvidenceFormatError("not_cose_sign1", "Not a COSE_Sign1 array of four elements.")
    protected, unprotected, payload, signature = message
    if unsigned and protected == PROTECTED_UNSIGNED:
        size = _UNSIGNED_BYTES
    elif protected == PROTECTED_ES384:
        size = SIGNATURE_BYTES
    else:
        raise EvidenceFormatError("wrong_algorithm", "The protected header is not exactly {alg: ES384}.")
    if unprotected != {}:
        raise EvidenceFormatError("unprotected_header", "The unprotected header is not an empty map.")
    if not isinstance(payload, bytes) or not payload:
        raise EvidenceFormatError("not_cose_sign1", "The payload is not a byte string, or empty.")
    if not isinstance(signature, bytes) or len(signature) != size:
        raise EvidenceFormatError("not_cose_sign1", f"The signature is not {size} bytes.")
    return Sign1(payload, signature, unsigned=protected != PROTECTED_ES384)


def verify(message: Sign1, key: ec.EllipticCurvePublicKey) -> None:
    """Check the signature with a P-384 `key`. Raises `EvidenceSignatureError`.

    ECDSA is malleable, (r, s) and (r, n - s) both verify: never identify a document by its signature.
    """
    r, s = (int.from_bytes(half, "big") for half in (message.signature[:48], message.signature[48:]))
    try:
        key.verify(encode_dss_signature(r, s), _sig_structure(message.payload), ES384)
    except InvalidSignature as error:
        raise EvidenceSignatureError(
            "invalid_signature", "The signature is not that of the document's certificate."
        ) from error


def sign(payload: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Sign `payload` with a P-384 `key`; returns the untagged COSE_Sign1 message, as NSM does."""
    return assemble(payload, raw_signature(key.sign(_sig_structure(payload), ES384)))


def assemble(payload: bytes, signature: bytes) -> bytes:
    """Encode the untagged COSE_Sign1 message of `payload` and a raw `signature`."""
    return cbor2.dumps([PROTECTED_ES384, {}, payload, signature])


def raw_signature(der: bytes) -> bytes:
    """Turn a DER ECDSA signature into r and s of 48 bytes each, the form of COSE."""
    r, s = decode_dss_signature(der)
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


def _sig_structure(payload: bytes) -> bytes:
    """The bytes that are signed (RFC 9052, section 4.4), without external data."""
    return cbor2.dumps(["Signature1", PROTECTED_ES384, b"", payload])
