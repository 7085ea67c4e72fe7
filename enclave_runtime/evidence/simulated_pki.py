"""The certificates of a simulated enclave, in the shape of Nitro's: root, regional, zonal, instance, leaf.

Only the root lives on disk; the rest is made in memory and replaced before it expires.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from blindsight.attestation.roots import SIMULATED_ROOT_NAME
from blindsight.errors import ProducerError
from enclave_runtime.statefile import publish

if TYPE_CHECKING:
    from pathlib import Path

ROOT_FILE = "simulated_root.pem"
"""In the state folder: private key and certificate, readable by the owner only."""

ROOT_LIFETIME = timedelta(days=30 * 365)
CA_BACKDATING = timedelta(minutes=5)
LEAF_BACKDATING = timedelta(seconds=3)
LEAF_LIFETIME = timedelta(hours=3)
RENEWAL = timedelta(hours=1)
"""The chain is replaced when its leaf has less than this left, so that a document stays verifiable for as long."""

_INTERMEDIATES = (
    ("regional", timedelta(days=20)),
    ("zonal", timedelta(days=6)),
    ("instance", timedelta(hours=24)),
)
"""Name part and lifetime, from the root down; pathLen falls from 2 to 0."""


@dataclass(frozen=True)
class Authority:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class SigningChain:
    """A leaf's key and certificate (DER), and the bundle from the root to the leaf's issuer (DER)."""

    key: ec.EllipticCurvePrivateKey
    certificate: bytes
    cabundle: tuple[bytes, ...]
    not_before: datetime
    renew_at: datetime

    def covers(self, now: datetime) -> bool:
        """Say whether a document made `now` may be signed with it; a clock set back needs a new chain too."""
        return self.not_before <= now < self.renew_at


def load_or_create_root(folder: Path, now: datetime) -> Authority:
    """The machine's simulated root from `folder`, made at `now` if there is none yet.

    Safe against several processes starting at once: one wins, all use its root. Raises `ProducerError`
    `state_unusable`.
    """
    path = folder / ROOT_FILE
    try:
        if not path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            publish(path, _pem(_make_root(now)))
        if path.stat().st_mode & 0o077:
            raise ProducerError("state_unusable", f"{path} can be read by others; its mode must be 0600.")
        return _read_root(path.read_bytes(), path)
    except OSError as error:
        raise ProducerError("state_unusable", f"{path} cannot be used: {error.strerror}.") from error


def mint_chain(root: Authority, module_id: str, now: datetime) -> SigningChain:
    """Make a fresh chain under `root` whose leaf, named `module_id`, is valid for 3 hours from `now`."""
    now = now.replace(microsecond=0)
    bundle, issuer = [root.der], root
    for path_length, (name, lifetime) in zip((2, 1, 0), _INTERMEDIATES, strict=True):
        issuer = _make_intermediate(issuer, name, path_length, now - CA_BACKDATING, lifetime)
        bundle.append(issuer.der)
    leaf = _make_leaf(issuer, module_id, now)
    return SigningChain(
        leaf.key, leaf.der, tuple(bundle), now - LEAF_BACKDATING, renew_at=now + LEAF_LIFETIME - RENEWAL
    )


def _make_root(now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP384R1())
    name = _name(SIMULATED_ROOT_NAME)
    start = now.replace(microsecond=0) - CA_BACKDATING
    builder = _builder(name, name, key, start, start + ROOT_LIFETIME)
    builder = _with_ca_extensions(builder, key, path_length=None)
    return Authority(builder.sign(key, hashes.SHA384()), key)


def _make_intermediate(
    issuer: Authority, name: str, path_length: int, start: datetime, lifetime: timedelta
) -> Authority:
    key = ec.generate_private_key(ec.SECP384R1())
    subject = _name(f"{secrets.token_hex(8)}.{name}.{SIMULATED_ROOT_NAME}")
    # Never earlier than the issuer's, which matters for a chain made right after its root.
    start = max(start, issuer.certificate.not_valid_before_utc)
    builder = _builder(subject, issuer.certificate.subject, key, start, start + lifetime)
    builder = _with_ca_extensions(builder, key, path_length).add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
    )
    return Authority(builder.sign(issuer.key, hashes.SHA384()), key)


def _make_leaf(issuer: Authority, module_id: str, now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP384R1())
    subject, start = _name(f"{module_id}.{SIMULATED_ROOT_NAME}"), now - LEAF_BACKDATING
    # As Nitro's: key usage not critical, no key identifiers, no names, no extended usage.
    builder = (
        _builder(subject, issuer.certificate.subject, key, start, now + LEAF_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, content_commitment=True), critical=False)
    )
    return Authority(builder.sign(issuer.key, hashes.SHA384()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _with_ca_extensions(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, path_length: int | None
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(digital_signature=True, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(
    *,
    digital_signature: bool,
    content_commitment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Blindsight"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Simulated, trusted for nothing"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _pem(authority: Authority) -> bytes:
    return authority.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + authority.certificate.public_bytes(serialization.Encoding.PEM)


def _read_root(pem: bytes, path: Path) -> Authority:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise ProducerError("state_unusable", f"{path} is damaged.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ProducerError("state_unusable", f"{path} holds a key that is not its certificate's.")
    return Authority(certificate, key)
