"""A certificate authority for TLS in development on one machine. Clients trust the file `ca.pem`.

Its key is in a folder. Therefore critical name constraints (RFC 5280, section 4.2.1.10) limit it to the names of this
machine and the requested hosts.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from blindsight.files import write

if TYPE_CHECKING:
    from pathlib import Path

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_CA_LIFE = timedelta(days=365)
_SERVER_LIFE = timedelta(days=90)
_RENEW_BEFORE = timedelta(days=7)
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class ServerFiles:
    """Paths of PEM files: the authority's certificate, the server's chain, and the server's key."""

    ca: Path
    certificate: Path
    key: Path


def ensure(folder: Path, hosts: list[str], *, now: datetime | None = None) -> ServerFiles:
    """Create authority and server certificate in `folder` for a server with the names `hosts`, or keep valid ones.

    Private keys have mode 0600. The authority is replaced if it is not limited to exactly this machine and `hosts`,
    expires soon, or is damaged; clients then have to trust the new one. `now` is aware, by default the current time.
    Raises `ValueError` for a host that is neither a DNS name in ASCII nor an IP address, and `OSError`.
    """
    if not all(host.strip("*.") for host in hosts):
        raise ValueError("a host has a name")  # An empty name constraint would permit every name.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = ServerFiles(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    ca_key_file = folder / "ca.key"
    now = now or datetime.now(UTC)
    authority = _authority(files.ca, ca_key_file, hosts, now)
    if authority is None:
        authority = _new_authority(hosts, now)
        write(ca_key_file, _key_pem(authority.key), mode=0o600)
        write(files.ca, authority.certificate.public_bytes(Encoding.PEM), mode=0o644)
    if not _still_good(files, authority, hosts, now):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _server_certificate(authority, key, hosts, now)
        write(files.key, _key_pem(key), mode=0o600)
        write(files.certificate, certificate.public_bytes(Encoding.PEM), mode=0o644)
    return files


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def _authority(certificate_file: Path, key_file: Path, hosts: list[str], now: datetime) -> _Authority | None:
    """The authority in these files, if it is valid and limited to exactly `hosts`; else None."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        found = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except (FileNotFoundError, ValueError, TypeError, x509.ExtensionNotFound):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    limited = found.critical and set(found.value.permitted_subtrees or []) == set(_permitted(hosts))
    return _Authority(certificate, key) if limited and certificate.not_valid_after_utc - now > _RENEW_BEFORE else None


def _still_good(files: ServerFiles, authority: _Authority, hosts: list[str], now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        key = load_pem_private_key(files.key.read_bytes(), password=None)
        certificate.verify_directly_issued_by(authority.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return (
        key.public_key() == certificate.public_key()
        and set(names) == set(_names(hosts))
        and certificate.not_valid_after_utc - now > _RENEW_BEFORE
    )


def _permitted(hosts: list[str]) -> list[x509.GeneralName]:
    """The permitted names: each host with its subdomains, or its address. Both kinds of names are always limited."""
    permitted: list[x509.GeneralName] = []
    for host in dict.fromkeys((*_THIS_MACHINE, *hosts)):
        try:
            permitted.append(x509.IPAddress(ipaddress.ip_network(ipaddress.ip_address(host))))
        except ValueError:
            permitted.append(x509.DNSName(host.removeprefix("*.")))
    return permitted


def _names(hosts: list[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _new_authority(hosts: list[str], now: datetime) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Blindsight development CA of this machine")])
    certificate = (
        _builder(name, name, key, key, now)
        .not_valid_after(now + _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.NameConstraints(_permitted(hosts), excluded_subtrees=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _Authority(certificate, key)


def _server_certificate(
    authority: _Authority, key: ec.EllipticCurvePrivateKey, hosts: list[str], now: datetime
) -> x509.Certificate:
    # Not a host name, because OpenSSL applies name constraints to a common name that looks like one.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Blindsight development server")])
    return (
        _builder(name, authority.certificate.subject, key, authority.key, now)
        .not_valid_after(min(now + _SERVER_LIFE, authority.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


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
