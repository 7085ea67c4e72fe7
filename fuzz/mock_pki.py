"""A mock enclave's chain, keys and document: always the same bytes, so that seeds and findings stay what they are."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from blindsight.attestation import Claims, Policy, Release, cose, expected_pcr16

NOW: Final = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
NONCE: Final = bytes(range(32))
NAMES: Final = ("root", "regional", "zonal", "instance", "leaf")
CLAIMS: Final = Claims(
    *(hashlib.sha256(name).digest() for name in (b"function", b"key configurations", b"model", b"receipt key"))
)
PCRS: Final = {
    **{index: bytes(48) for index in range(16)},
    **{index: bytes([index + 1]) * 48 for index in range(3)},
    16: expected_pcr16(CLAIMS.func_checksum, CLAIMS.model_sha256),
}


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """The P-384 key called `name`, for tests only: it is no secret."""
    return ec.derive_private_key(int.from_bytes(hashlib.sha384(name.encode()).digest()) >> 8, ec.SECP384R1())


@cache
def chain() -> tuple[x509.Certificate, ...]:
    """Root, three authorities, leaf."""
    return tuple(
        _certificate(name, NAMES[max(0, depth - 1)], path_length=3 - depth) for depth, name in enumerate(NAMES)
    )


@cache
def ders() -> tuple[bytes, ...]:
    """`chain`, in DER."""
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in chain())


def fields() -> dict[str, Any]:
    """The payload's fields, in the order of genuine documents."""
    *bundle, leaf = ders()
    return {
        "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
        "digest": "SHA384",
        "timestamp": int(NOW.timestamp() * 1000),
        "pcrs": PCRS,
        "certificate": leaf,
        "cabundle": bundle,
        "public_key": bytes(range(32)),
        "user_data": CLAIMS.to_json(),
        "nonce": NONCE,
    }


def signed(payload: bytes) -> bytes:
    """The untagged COSE_Sign1 message of `payload`, signed by the leaf's key, always with the same bytes."""
    structure = cbor2.dumps(["Signature1", cose.PROTECTED_ES384, b"", payload])
    signature = key("leaf").sign(structure, ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
    return cose.assemble(payload, cose.raw_signature(signature))


def policy() -> Policy:
    """What accepts the document that `fields` make, and no other code, function or model."""
    release = Release(
        kind="simulated",
        roots=frozenset({hashlib.sha256(ders()[0]).hexdigest()}),
        pcrs={index: frozenset({PCRS[index].hex()}) for index in (0, 1, 2)},
        function_checksums=frozenset({CLAIMS.func_checksum.hex()}),
        model_digests=frozenset({CLAIMS.model_sha256.hex()}),
    )
    return Policy(releases=(release,))


def _certificate(name: str, issuer: str, *, path_length: int) -> x509.Certificate:
    authority = path_length >= 0
    usage = dict.fromkeys(
        ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only", "crl_sign"), False
    )
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key(name).public_key())
        .serial_number(NAMES.index(name) + 1)
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(hours=3))
        .add_extension(
            x509.BasicConstraints(ca=authority, path_length=path_length if authority else None), critical=True
        )
        .add_extension(
            x509.KeyUsage(digital_signature=not authority, content_commitment=False, key_cert_sign=authority, **usage),
            critical=True,
        )
        .sign(key(issuer), hashes.SHA384(), ecdsa_deterministic=True)
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"fuzz.{name}")])
