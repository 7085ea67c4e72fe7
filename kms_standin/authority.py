"""The stand-in's TLS certificate, under an authority of its own, which clients have to trust explicitly."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

CERTIFICATE = "authority.pem"
_CHAIN = "server.pem"
_LIFETIME = timedelta(days=365)


def server_tls(folder: Path, host: str) -> ssl.SSLContext:
    """A TLS context (1.2 or newer) for a server named `host`. Clients trust `authority.pem` in `folder`.

    Both certificates are kept in `folder` for a year, so that clients that pin the authority keep working after a
    restart. They are renewed when less than a day is left. Raises `OSError`, and `ValueError` for a damaged file.
    """
    chain = folder / _CHAIN
    if not _lasts(folder / CERTIFICATE) or not _lasts(chain):
        _make(folder, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(chain)
    return context


def _lasts(path: Path) -> bool:
    if not path.exists():
        return False
    pem = path.read_bytes()
    certificate = x509.load_pem_x509_certificate(pem[max(pem.find(b"-----BEGIN CERTIFICATE"), 0) :])
    return certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=1)


def _make(folder: Path, host: str) -> None:
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Blindsight KMS stand-in, trusted for nothing else")])
    authority = (
        _builder(name, name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints([x509.DNSName(host)], None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _builder(x509.Name([]), name, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    (folder / CERTIFICATE).write_bytes(authority.public_bytes(Encoding.PEM))
    chain = folder / _CHAIN
    chain.touch(mode=0o600)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(private + certificate.public_bytes(Encoding.PEM))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
    )
