"""The signature section of an image, which signs PCR 0 and whose certificate determines PCR 8.

CBOR: an array of one map, `{"signing_certificate": [bytes of a PEM file], "signature": [bytes of a COSE_Sign1]}`, both
as arrays of integers; the COSE payload is `{"register_index": 0, "register_value": [48 integers]}` (README of
aws-nitro-enclaves-image-format). AWS's stack verifies the signature when an enclave starts. Its specification also
allows ES256 and ES512; this module supports P-384 with ES384 (AWS's own instructions use no other), one certificate,
one entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import cbor2
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.utils import CryptographyDeprecationWarning

from blindsight import cbor
from blindsight.attestation import cose
from blindsight.eif.layout import MAX_SIGNATURE_BYTES
from blindsight.errors import EifError, EvidenceError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PCR_BYTES = 48
UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm, CryptographyDeprecationWarning)
"""What the library raises for certificates and keys that it does not read."""

_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


@dataclass(frozen=True)
class Signed:
    """A valid signature: the certificate, and the signed PCR 0 (48 bytes)."""

    certificate: x509.Certificate
    pcr0: bytes


def sign(pcr0: bytes, *, key_pem: bytes, certificate_pem: bytes) -> bytes:
    """The signature section over `pcr0`, 48 bytes. Raises `EifError` `signing_key_unusable`.

    The section holds the certificate alone, whatever stands around it in `certificate_pem`. It differs each time, as
    ECDSA does; the registers do not.
    """
    if len(pcr0) != _PCR_BYTES:
        raise ValueError("PCR 0 has 48 bytes")
    try:
        key = load_pem_private_key(key_pem, password=None)
        signer = x509.load_pem_x509_certificate(certificate_pem)
        public = signer.public_key()
    except UNREADABLE as error:
        raise EifError("signing_key_unusable", "Key or certificate is not PEM, or the key is encrypted.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EifError("signing_key_unusable", "The key is not an elliptic curve key on P-384.")
    if _spki(key.public_key()) != _spki(public):
        raise EifError("signing_key_unusable", "The certificate is of another key.")
    payload = cbor2.dumps({"register_index": 0, "register_value": list(pcr0)})
    entry = {
        "signing_certificate": list(signer.public_bytes(Encoding.PEM)),
        "signature": list(cose.sign(payload, key)),
    }
    section = cbor2.dumps([entry])
    if len(section) > MAX_SIGNATURE_BYTES:
        raise EifError("signing_key_unusable", f"The certificate makes the section longer than {MAX_SIGNATURE_BYTES}.")
    return section


def verify(section: bytes, *, pcr0: bytes, at: datetime | None = None) -> Signed:
    """Verify the section against the measured `pcr0`, at a time (now). Raises `EifError`.

    It does not verify the certificate's owner: compare PCR 8, or the certificate's digest.
    """
    signer, message = _parse(section)
    key = _public_key(signer)
    moment = at or datetime.now(UTC)
    if not signer.not_valid_before_utc <= moment <= signer.not_valid_after_utc:
        raise EifError("signing_certificate_expired", "The signing certificate is not valid at this time.")
    try:
        signed = cose.parse(message)
        cose.verify(signed, key)
    except EvidenceError as error:
        code = "signature_mismatch" if error.code == "invalid_signature" else "malformed_signature"
        raise EifError(code, f"The signature is refused: {error}") from error
    if _register_value(signed.payload) != pcr0:
        raise EifError("signed_register_mismatch", "The signature is for another image: its PCR 0 differs.")
    return Signed(signer, pcr0)


def certificate_der(section: bytes) -> bytes:
    """The signing certificate in DER, whether or not the signature holds. Raises `EifError`."""
    return certificate(section).public_bytes(Encoding.DER)


def certificate(section: bytes) -> x509.Certificate:
    """The signing certificate, whether or not the signature holds. Raises `EifError`."""
    return _parse(section)[0]


def _parse(section: bytes) -> tuple[x509.Certificate, bytes]:
    """The certificate, and the COSE message as it stands."""
    if len(section) > MAX_SIGNATURE_BYTES:
        raise EifError("section_too_large", f"The signature has {len(section)} bytes, over {MAX_SIGNATURE_BYTES}.")
    entries = _decode(section)
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
        raise EifError("malformed_signature", "The signature section is not an array of one map.")
    entry: Mapping[Any, Any] = entries[0]
    if list(entry) != ["signing_certificate", "signature"]:
        raise EifError("malformed_signature", "The entry's members are not signing_certificate and signature.")
    return _certificate(_octets(entry["signing_certificate"])), _octets(entry["signature"])


def _certificate(pem: bytes) -> x509.Certificate:
    """The one certificate in a PEM file. Text around it may be there: AWS's tools embed the file as it is."""
    # Readers of PEM take the first of several, and differ in what they pass over inside: one block, as OpenSSL writes.
    start, end = pem.find(_BEGIN), pem.find(_END)
    if pem.count(_BEGIN) != 1 or pem.count(_END) != 1:
        raise EifError("signing_certificate_invalid", "The signing certificate is not one certificate in PEM.")
    block = pem[start : end + len(_END)].replace(b"\r\n", b"\n")
    try:
        loaded = x509.load_pem_x509_certificate(block)
    except UNREADABLE as error:
        raise EifError("signing_certificate_invalid", "The signing certificate is malformed.") from error
    if loaded.public_bytes(Encoding.PEM).strip() != block:
        raise EifError("signing_certificate_invalid", "The signing certificate's PEM has bytes that do not count.")
    return loaded


def _public_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    try:
        key = certificate.public_key()
    except UNREADABLE as error:
        raise EifError("signing_certificate_invalid", "The signing certificate's key is malformed.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EifError("signing_certificate_invalid", "The signing certificate's key is not on P-384.")
    return key


def _register_value(payload: bytes) -> bytes:
    register = _decode(payload)
    if not isinstance(register, dict) or register.keys() != {"register_index", "register_value"}:
        raise EifError("malformed_signature", "The signed payload is not a register.")
    index = register["register_index"]
    if type(index) is not int or index != 0:
        raise EifError("signed_register_mismatch", "The signature is over another register than PCR 0.")
    value = _octets(register["register_value"])
    if len(value) != _PCR_BYTES:
        raise EifError("malformed_signature", f"The signed register has {len(value)} bytes, not {_PCR_BYTES}.")
    return value


def _octets(value: object) -> bytes:
    """An array of integers from 0 to 255 as bytes; a byte string is another encoding, and refused."""
    if not isinstance(value, list) or not all(type(each) is int and 0 <= each <= 255 for each in value):
        raise EifError("malformed_signature", "A value is not an array of integers from 0 to 255.")
    return bytes(value)


def _decode(data: bytes) -> cbor.CBORValue:
    try:
        return cbor.decode(data)
    except cbor.CBORDecodeError as error:
        raise EifError("malformed_signature", f"The signature is not CBOR as it should be: {error}") from error


def _spki(key: Any) -> bytes:  # noqa: ANN401 -- any public key of `cryptography`
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
