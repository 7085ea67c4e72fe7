"""A certificate authority of this machine, for TLS in development: clients trust one file, `ca.pem`."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

_CA_LIFE = timedelta(days=3650)
_SERVER_LIFE = timedelta(days=90)
_RENEW_BEFORE = timedelta(days=7)
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class ServerFiles:
    """PEM files: the authority's certificate, the server's chain and its key."""

    ca: Path
    certificate: Path
    key: Path


def ensure(folder: Path, hosts: list[str], *, now: datetime | None = None) -> ServerFiles:
    """Make or renew what is missing in `folder` for a server named `hosts`. Private keys get mode 0600."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = ServerFiles(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    ca_key_file = folder / "ca.key"
    now = now or datetime.now(UTC)
    if not (files.ca.exists() and ca_key_file.exists()):
        ca_key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Blindsight development CA of this machine")])
        ca = _sign(name, name, ca_key, ca_key, now=now, life=_CA_LIFE, hosts=[])
        _write(ca_key_file, _key_pem(ca_key), 0o600)
        _write(files.ca, ca.public_bytes(Encoding.PEM), 0o644)
        files.certificate.unlink(missing_ok=True)
    if not _still_good(files, hosts, now):
        ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
        ca_key = _load_key(ca_key_file)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        certificate = _sign(name, ca.subject, key, ca_key, now=now, life=_SERVER_LIFE, hosts=hosts)
        _write(files.key, _key_pem(key), 0o600)
        _write(files.certificate, certificate.public_bytes(Encoding.PEM), 0o644)
    return files


def _still_good(files: ServerFiles, hosts: list[str], now: datetime) -> bool:
    if not (files.certificate.exists() and files.key.exists()):
        return False
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return certificate.not_valid_after_utc - now > _RENEW_BEFORE and set(names) == set(_names(hosts))


def _names(hosts: list[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _sign(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    now: datetime,
    life: timedelta,
    hosts: list[str],
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=not hosts, path_length=None if hosts else 0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_usage(signs=not hosts), critical=True)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds no elliptic-curve key")
    return key


def _write(path: Path, content: bytes, mode: int) -> None:
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    draft.replace(path)
