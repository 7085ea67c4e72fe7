"""Makes attestation documents, right and wrong: every part of the chain and the payload can be replaced.

The documents are built here and not by the enclave's own producer, so that an error common to both would show.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from blindsight.attestation import Claims, Policy, Release, Verified, expected_pcr16, verify
from blindsight.errors import EvidenceError

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
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

ANY_FUNCTION = {"function_checksums": None, "model_digests": None, "any_function": True}
"""Changes to a release, so that it asks for no claims."""

UNSIGNED = b"\xa1\x01\x20"
"""{1: -1}, the protected header of QEMU's documents."""

ES384 = b"\xa1\x01\x38\x22"
P384_ORDER = int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16)


@dataclass(frozen=True)
class Party:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


def party(
    issuer: Party | None,
    name: str,
    *,
    ca: bool = True,
    path_length: int | None = None,
    cert_sign: bool = True,
    digital_signature: bool = True,
    start: datetime = NOW - timedelta(minutes=10),
    end: datetime = NOW + timedelta(hours=3),
    curve: ec.EllipticCurve | None = None,
    digest: hashes.HashAlgorithm | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
    extra: tuple[x509.ExtensionType, bool] | None = None,
) -> Party:
    key = key or ec.generate_private_key(curve or ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = dict.fromkeys(
        ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only", "crl_sign"), False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=digital_signature,
                content_commitment=not ca,
                key_cert_sign=ca and cert_sign,
                **usage,
            ),
            critical=ca,
        )
    )
    if extra:
        builder = builder.add_extension(extra[0], critical=extra[1])
    return Party(builder.sign(issuer.key if issuer else key, digest or hashes.SHA384()), key)


@dataclass
class Forge:
    """An attester whose parts may be replaced before `document` is called."""

    root: Party = field(default_factory=lambda: party(None, "test.root", end=NOW + timedelta(days=9999)))
    parties: list[Party] = field(default_factory=list)
    leaf: Party | None = None
    indefinite: bool = True
    """The form of the payload's outer map: the NSM has written it with indefinite length since July 2025."""

    def __post_init__(self) -> None:
        if not self.parties:
            issuer = self.root
            for path_length, name in ((2, "regional"), (1, "zonal"), (0, "instance")):
                issuer = party(issuer, name, path_length=path_length)
                self.parties.append(issuer)
        if self.leaf is None:
            self.leaf = party(self.parties[-1], "leaf", ca=False)

    @property
    def bundle(self) -> list[bytes]:
        return [self.root.der, *(each.der for each in self.parties)]

    def fields(self, **changes: Any) -> dict[str, Any]:
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

    def payload(self, **changes: Any) -> bytes:
        entries = [cbor2.dumps(name) + cbor2.dumps(value) for name, value in self.fields(**changes).items()]
        if self.indefinite:
            return b"\xbf" + b"".join(entries) + b"\xff"
        assert len(entries) < 24
        return bytes([0xA0 + len(entries)]) + b"".join(entries)

    def document(self, **changes: Any) -> bytes:
        return self.envelope(self.payload(**changes))

    def envelope(self, payload: bytes, *, protected: bytes = ES384, unprotected: Any = None) -> bytes:
        signature = self.sign(protected, payload)
        return cbor2.dumps([protected, {} if unprotected is None else unprotected, payload, signature])

    def sign(self, protected: bytes, payload: bytes) -> bytes:
        structure = cbor2.dumps(["Signature1", protected, b"", payload])
        r, s = decode_dss_signature(self.leaf.key.sign(structure, ec.ECDSA(hashes.SHA384())))
        size = (self.leaf.key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def emulated(self, **changes: Any) -> bytes:
        """What QEMU's `nitro-enclave` machine answers: nothing signs it, and zeros stand for what would."""
        placeholders = {"certificate": bytes(64), "cabundle": [bytes(64)]}
        return unsigned(replace(self, indefinite=False).payload(**placeholders | changes))

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.root.der).hexdigest()

    def policy(self, **changes: Any) -> Policy:
        """A policy of one release, whose fields may be changed."""
        roots = {} if changes.get("kind") == "qemu-nitro-enclave" else {"roots": frozenset([self.fingerprint])}
        release = Release(
            **{
                "kind": "simulated",
                "pcrs": {index: frozenset([PCRS[index].hex()]) for index in (0, 1, 2)},
                "function_checksums": frozenset([CLAIMS.func_checksum.hex()]),
                "model_digests": frozenset([CLAIMS.model_sha256.hex()]),
            }
            | roots
            | changes
        )
        return Policy(releases=(release,))

    def verify(self, document: bytes, *, now: datetime = NOW, nonce: bytes | None = NONCE, **changes: Any) -> Verified:
        return verify(document, policy=self.policy(**changes), nonce=nonce, now=now)


def unsigned(payload: bytes, *, signature: bytes = bytes(64), protected: bytes = UNSIGNED) -> bytes:
    """The envelope of QEMU's documents."""
    return cbor2.dumps([protected, {}, payload, signature])


def refusal(forge: Forge, document: bytes, **options: object) -> tuple[str, int]:
    """Code and step with which it is refused."""
    with pytest.raises(EvidenceError) as caught:
        forge.verify(document, **options)
    assert caught.value.next_step
    return caught.value.code, caught.value.step
