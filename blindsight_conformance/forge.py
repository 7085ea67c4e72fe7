"""Attestation documents, right and wrong: every part of the chain and the payload can be replaced.

The documents are built here and not by the enclave's own producer, so that an error common to both would show.
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
"""{1: -35}, the protected header of genuine documents."""

UNSIGNED = b"\xa1\x01\x20"
"""{1: -1}, the protected header of QEMU's documents."""

BREAK = b"\xff"


def entries_of(fields: Mapping[Any, Any]) -> bytes:
    """The map's keys and values, encoded, without its head."""
    return b"".join(cbor2.dumps(name) + cbor2.dumps(value) for name, value in fields.items())


def indefinite(entries: bytes) -> bytes:
    """A map of indefinite length."""
    return b"\xbf" + entries + BREAK


def definite(entries: bytes, count: int = 9) -> bytes:
    """A map of `count` entries, 23 at most."""
    return bytes([0xA0 + count]) + entries


def unsigned(payload: bytes, *, signature: bytes = bytes(64), protected: bytes = UNSIGNED) -> bytes:
    """The envelope of QEMU's documents."""
    return cbor2.dumps([protected, {}, payload, signature])


_UNDER_THE_LAST: Party = cast("Party", None)
"""Stands for a leaf that is made when the parties are known."""


@dataclass
class Forge:
    """An attester whose parts may be replaced before `document` is called."""

    root: Party = field(default_factory=lambda: party(None, "test.root", end=NOW + timedelta(days=9999)))
    parties: list[Party] = field(default_factory=list)
    leaf: Party = field(default=_UNDER_THE_LAST)
    indefinite: bool = True
    """The form of the payload's outer map: the NSM has written it with indefinite length since July 2025."""
    deterministic: bool = False
    """Sign as RFC 6979 describes: the same document each time."""

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
        return [self.root.der, *(each.der for each in self.parties)]

    def fields(self, **changes: object) -> dict[str, Any]:
        """The payload in the order of genuine documents; a change to `...` removes the field."""
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
        fields = self.fields(**changes)
        entries = entries_of(fields)
        return indefinite(entries) if self.indefinite else definite(entries, len(fields))

    def document(self, **changes: object) -> bytes:
        return self.envelope(self.payload(**changes))

    def envelope(self, payload: bytes, *, protected: bytes = ES384, unprotected: object = None) -> bytes:
        signature = self.sign(protected, payload)
        return cbor2.dumps([protected, {} if unprotected is None else unprotected, payload, signature])

    def sign(self, protected: bytes, payload: bytes) -> bytes:
        """r and s, each of the size of the leaf's curve."""
        structure = cbor2.dumps(["Signature1", protected, b"", payload])
        algorithm = ec.ECDSA(hashes.SHA384(), deterministic_signing=self.deterministic)
        r, s = decode_dss_signature(self.leaf.key.sign(structure, algorithm))
        size = (self.leaf.key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def emulated(self, **changes: object) -> bytes:
        """What QEMU's `nitro-enclave` machine answers: nothing signs it, and zeros stand for what would."""
        placeholders = {"certificate": bytes(64), "cabundle": [bytes(64)]}
        return unsigned(replace(self, indefinite=False).payload(**placeholders | changes))

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.root.der).hexdigest()
