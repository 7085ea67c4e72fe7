"""A mock enclave's chain, keys and document. The bytes are always the same, so that seeds and findings remain valid."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from blindsight.attestation import Claims, Policy, Release, cose, expected_pcr16
from blindsight_conformance import pki

if TYPE_CHECKING:
    from cryptography import x509

NOW: Final = pki.NOW
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
    """The P-384 key derived from `name`. It is for tests only, and not secret."""
    return pki.derived_key(f"fuzz.{name}")


@cache
def _parties() -> tuple[pki.Party, ...]:
    parties: list[pki.Party] = []
    for depth, name in enumerate(NAMES):
        leaf = name == NAMES[-1]
        parties.append(
            pki.party(
                parties[-1] if parties else None,
                f"fuzz.{name}",
                ca=not leaf,
                path_length=None if leaf else 3 - depth,
                key=key(name),
                serial=depth + 1,
                start=NOW - timedelta(hours=1),
            )
        )
    return tuple(parties)


def chain() -> tuple[x509.Certificate, ...]:
    """The certificates: root, three intermediate authorities, leaf."""
    return tuple(party.certificate for party in _parties())


@cache
def ders() -> tuple[bytes, ...]:
    """The certificates of `chain` in DER."""
    return tuple(party.der for party in _parties())


def fields() -> dict[str, Any]:
    """The fields of an attestation document's payload, in the order of genuine documents."""
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
    """The untagged COSE_Sign1 message (RFC 9052, section 4.2) of `payload`, signed by the leaf with ES384.

    The signature is deterministic (RFC 6979).
    """
    structure = cbor2.dumps(["Signature1", cose.PROTECTED_ES384, b"", payload])
    signature = key("leaf").sign(structure, ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
    return cose.assemble(payload, cose.raw_signature(signature))


def policy() -> Policy:
    """A policy that accepts only the code, function and model of the document that `fields` make."""
    release = Release(
        kind="simulated",
        roots=frozenset({hashlib.sha256(ders()[0]).hexdigest()}),
        pcrs={index: frozenset({PCRS[index].hex()}) for index in (0, 1, 2)},
        function_checksums=frozenset({CLAIMS.func_checksum.hex()}),
        model_digests=frozenset({CLAIMS.model_sha256.hex()}),
    )
    return Policy(releases=(release,))
