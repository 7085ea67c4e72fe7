"""Makes valid and invalid attestation documents: every part of chain and payload can be replaced.

It does not use the code of the enclave's producer, so that an error there is found here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from blindsight.attestation import Claims, expected_pcr16
from blindsight_conformance.pki import NOW, Party, party

if TYPE_CHECKING:
    from collections.abc import Mapping

NONCE = bytes(range(32))
KEY_CONFIGS = b"\x00\x05encoded key configurations"
MANIFEST = b'{"format":"blindsight-model/1"}'
CLAIMS = Claims(
    func_checksum=hashlib.sha256(b"bundle").digest(),
    key_configs_sha256=hashlib.sha256(KEY_CONFIGS).digest(),
    model_sha256=hashlib.sha256(MANIFEST).digest(),
    receipt_key_sha256=hashlib.sha256(b"receipt key").digest(),
)
PCRS = {index: bytes(48) for index in range(16)} | {index: bytes([index + 1]) * 48 for index in range(3)}
PCRS[16] = expected_pcr16(CLAIMS.func_checksum, CLAIMS.model_sha256)

ES384 = b"\xa1\x01\x38\x22"
"""The protected header of genuine documents, {1: -35}: ES384 (RFC 9053, section 2.1)."""

UNSIGNED = b"\xa1\x01\x20"
"""The protected header of QEMU's documents, {1: -1}."""

BREAK = b"\xff"


def entries_of(fields: Mapping[Any, Any]) -> bytes:
    """The encoded keys and values of a CBOR map, without its head."""
    return b"".join(cbor2.dumps(name) + cbor2.dumps(value) for name, value in fields.items())


def indefinite(entries: bytes) -> bytes:
    """A map of indefinite length (RFC 8949, section 3.2.2)."""
    return b"\xbf" + entries + BREAK


def definite(entries: bytes, count: int = 9) -> bytes:
    """A map of definite length with `count` entries, at most 23."""
    return bytes([0xA0 + count]) + entries


def unsigned(payload: bytes, *, signature: bytes = bytes(64), protected: bytes = UNSIGNED) -> bytes:
    """A COSE_Sign1 message (RFC 9052, section 4.2) in the form of QEMU's documents, without a valid signature."""
    return cbor2.dumps([protected, {}, payload, signature])


_UNDER_THE_LAST: Party = cast("Party", None)
"""Placeholder for a leaf that is made after the other parties."""


@dataclass
class Forge:
    """An attester: root, intermediate authorities, and the leaf that signs. Each of them can be replaced."""

    root: Party = field(default_factory=lambda: party(None, "test.root", end=NOW + timedelta(days=9999)))
    parties: list[Party] = field(default_factory=list)
    leaf: Party = field(default=_UNDER_THE_LAST)
    indefinite: bool = True
    """Whether the payload's outer map has an indefinite length, as the NSM has written it since July 2025."""
    deterministic: bool = False
    """Whether signatures are deterministic (RFC 6979), so that documents are reproducible."""

    def __post_init__(self) -> None:
        if not self.parties:
            issuer = self.root
            for path_length, name in ((2, "regional"), (1, "zonal"), (0, "instance")):
                issuer = party(issuer, name, path_length=path_length)
                self.parties.append(issuer)
        if self.leaf is _UNDER_THE_LAST:
            self.leaf = party(self.parties[-1], "leaf", ca=False)

    @property
    def bundle(self) -> list[bytes]:
        """The field `cabundle`: root and intermediate certificates in DER."""
        return [self.root.der, *(each.der for each in self.parties)]

    def fields(self, **changes: object) -> dict[str, Any]:
        """The payload's fields in the order of genuine documents. The value `...` removes a field."""
        fields: dict[str, Any] = {
            "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
            "digest": "SHA384",
            "timestamp": int(NOW.timestamp() * 1000),
            "pcrs": PCRS,
            "certificate": self.leaf.der,
            "cabundle": self.bundle,
            "public_key": bytes(range(32)),
            "user_data": CLAIMS.to_json(),
            "nonce": NONCE,
        }
        return {name: value for name, value in (fields | changes).items() if value is not ...}

    def payload(self, **changes: object) -> bytes:
        """The payload in CBOR, with changed `fields`."""
        fields = self.fields(**changes)
        entries = entries_of(fields)
        return indefinite(entries) if self.indefinite else definite(entries, len(fields))

    def document(self, **changes: object) -> bytes:
        """A signed document with changed `fields`."""
        return self.envelope(self.payload(**changes))

    def envelope(self, payload: bytes, *, protected: bytes = ES384, unprotected: object = None) -> bytes:
        """A signed COSE_Sign1 message (RFC 9052, section 4.2) with these headers."""
        signature = self.sign(protected, payload)
        return cbor2.dumps([protected, {} if unprotected is None else unprotected, payload, signature])

    def sign(self, protected: bytes, payload: bytes) -> bytes:
        """The signature as r and s, each with the size of the leaf's curve (RFC 9053, section 2.1)."""
        structure = cbor2.dumps(["Signature1", protected, b"", payload])
        algorithm = ec.ECDSA(hashes.SHA384(), deterministic_signing=self.deterministic)
        r, s = decode_dss_signature(self.leaf.key.sign(structure, algorithm))
        size = (self.leaf.key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def emulated(self, **changes: object) -> bytes:
        """An unsigned document as QEMU's `nitro-enclave` machine makes it: zeros replace certificates and signature."""
        placeholders = {"certificate": bytes(64), "cabundle": [bytes(64)]}
        return unsigned(replace(self, indefinite=False).payload(**placeholders | changes))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the root certificate in hexadecimal, as policies list it."""
        return hashlib.sha256(self.root.der).hexdigest()
