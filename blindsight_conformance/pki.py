"""Makes valid and invalid certificates in the form of Nitro's (RFC 5280): every property can be replaced."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
"""The time of the documents."""

P384_ORDER = int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16)

Extra = tuple[x509.ExtensionType, bool]
"""An extension, and whether it is critical."""

Usual = Literal["usual"]

_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


@dataclass(frozen=True)
class Party:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def derived_key(name: str, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """The key derived from `name`, the same in every run, by default on P-384. It is not secret."""
    number = int.from_bytes(hashlib.shake_256(f"blindsight conformance: {name}".encode()).digest(47), "big")
    bits = min(376, (curve or ec.SECP384R1()).key_size - 8)
    return ec.derive_private_key(number % (1 << bits), curve or ec.SECP384R1())


def common_name(name: str) -> x509.Name:
    """A name whose only attribute is the common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def usage(*names: str) -> x509.KeyUsage:
    """A key usage extension with these bits, named as in `cryptography`."""
    return x509.KeyUsage(**{name: name in names for name in _USAGES})


def party(
    issuer: Party | None,
    name: str | x509.Name,
    *,
    ca: bool = True,
    path_length: int | None = None,
    cert_sign: bool = True,
    digital_signature: bool = True,
    start: datetime = NOW - timedelta(minutes=10),
    end: datetime = NOW + timedelta(hours=3),
    curve: ec.EllipticCurve | None = None,
    digest: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
    serial: int | None = None,
    issuer_name: x509.Name | None = None,
    constraints: Extra | Usual | None = "usual",
    key_usage: Extra | Usual | None = "usual",
    extra: Sequence[Extra] = (),
) -> Party:
    """Issue a certificate under `issuer`, or a self-signed one if it is None.

    Without `key` and `serial`, both are random. `constraints` and `key_usage` replace the usual extensions of such a
    certificate; None omits the extension.
    """
    key = key or ec.generate_private_key(curve or ec.SECP384R1())
    subject = common_name(name) if isinstance(name, str) else name
    if constraints == "usual":
        constraints = (x509.BasicConstraints(ca=ca, path_length=path_length), True)
    if key_usage == "usual":
        bits = [*["digital_signature"] * digital_signature, *(["key_cert_sign"] * cert_sign if ca else [])]
        # In genuine certificates of signers, key usage is not critical.
        key_usage = (usage(*bits, *([] if ca else ["content_commitment"])), ca)
    extensions = [each for each in (constraints, key_usage) if each is not None]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name or (issuer.certificate.subject if issuer else subject))
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension, critical in (*extensions, *extra):
        builder = builder.add_extension(extension, critical=critical)
    signer = issuer.key if issuer else key
    return Party(builder.sign(signer, digest or hashes.SHA384(), ecdsa_deterministic=True), key)
