"""The development authority signs for this machine and for what was asked for: everything else, clients refuse.

Its key lies on a developer's disk. Certificates that a thief of it could sign are made here, and shown to OpenSSL and
to Python's `ssl`.
"""

from __future__ import annotations

import ipaddress
import ssl
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from blindsight_cli import localca

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = ["localhost", "127.0.0.1", "::1"]


@dataclass(frozen=True)
class Certificate:
    """PEM files of a certificate, with its issuers below it, and of its key."""

    chain: Path
    key: Path


def general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def sign(
    folder: Path, names: list[str], *, common_name: str = "stolen", ca: bool = False, issuer: Any = None
) -> Certificate:
    """What the key in `folder` can sign; by default a server's certificate, under the authority itself."""
    certificate, signer, below = issuer or (
        x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()),
        cast("ec.EllipticCurvePrivateKey", load_pem_private_key((folder / "ca.key").read_bytes(), None)),
        b"",
    )
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(common_name))
        .issuer_name(certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([general(name) for name in names]), critical=False)
    made = builder.sign(signer, hashes.SHA256())
    if ca:
        return sign(folder, ["example.com"], issuer=(made, key, made.public_bytes(Encoding.PEM)))
    files = Certificate(folder / "stolen.pem", folder / "stolen.key")
    files.chain.write_bytes(made.public_bytes(Encoding.PEM) + below)
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def openssl_accepts(authority: Path, certificate: Certificate, host: str) -> bool:
    try:
        ipaddress.ip_address(host)
        named_by = ["-verify_ip", host]
    except ValueError:
        named_by = ["-verify_hostname", host]
    command = ["openssl", "verify", "-no-CApath", "-no-CAstore", "-CAfile", authority, "-untrusted", certificate.chain]
    done = subprocess.run(
        [*command, *named_by, certificate.chain], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0 or "error" in done.stderr
    return done.returncode == 0


def python_accepts(authority: Path, certificate: Certificate, host: str) -> bool:
    """Whether a handshake of Python's `ssl` comes to its end, in memory."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate.chain, certificate.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = ssl.create_default_context(cafile=authority).wrap_bio(to_client, to_server, server_hostname=host)
    for _ in range(10):
        for end in (client, server):
            try:
                end.do_handshake()
                if end is client:
                    return True
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    raise AssertionError("the handshake does not end")


def accepted(authority: Path, certificate: Certificate, host: str) -> tuple[bool, bool]:
    return openssl_accepts(authority, certificate, host), python_accepts(authority, certificate, host)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tls"


@pytest.mark.parametrize("host", HOSTS)
def test_this_machine_is_accepted(host: str, folder: Path) -> None:
    files = localca.ensure(folder, HOSTS)
    assert accepted(files.ca, Certificate(files.certificate, files.key), host) == (True, True)
    assert accepted(files.ca, sign(folder, HOSTS), host) == (True, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_alone_is_enough(host: str, folder: Path) -> None:
    files = localca.ensure(folder, [host])
    assert accepted(files.ca, Certificate(files.certificate, files.key), host) == (True, True)


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["example.com"], "example.com"),
        (["localhost", "example.com"], "example.com"),
        (["localhost", "example.com"], "localhost"),
        (["*.example.com"], "a.example.com"),
        (["notlocalhost"], "notlocalhost"),
        (["localhost.example.com"], "localhost.example.com"),
        (["10.0.0.1"], "10.0.0.1"),
        (["127.0.0.2"], "127.0.0.2"),
        (["2001:db8::1"], "2001:db8::1"),
        (["::ffff:127.0.0.1"], "::ffff:127.0.0.1"),
    ],
)
@pytest.mark.parametrize("hosts", [HOSTS, ["localhost"], ["127.0.0.1"], [*HOSTS, "photos.example"]])
def test_no_other_machine_is(hosts: list[str], names: list[str], host: str, folder: Path) -> None:
    files = localca.ensure(folder, hosts)
    assert accepted(files.ca, sign(folder, names), host) == (False, False)


def test_nor_one_that_only_its_subject_names(folder: Path) -> None:
    files = localca.ensure(folder, HOSTS)
    assert accepted(files.ca, sign(folder, [], common_name="example.com"), "example.com") == (False, False)


def test_nor_one_of_an_authority_in_between(folder: Path) -> None:
    files = localca.ensure(folder, HOSTS)
    assert accepted(files.ca, sign(folder, [], ca=True), "example.com") == (False, False)


def test_a_host_that_was_asked_for_is(folder: Path) -> None:
    files = localca.ensure(folder, [*HOSTS, "photos.example", "192.0.2.7", "*.wild.example"])
    for host in ("photos.example", "192.0.2.7", "a.wild.example", "localhost"):
        assert accepted(files.ca, Certificate(files.certificate, files.key), host) == (True, True)
    for other in ("photos.example.com", "192.0.2.8", "example"):
        assert accepted(files.ca, sign(folder, [other]), other) == (False, False)


def constraints(folder: Path) -> set[str]:
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    found = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert found.critical
    assert found.value.excluded_subtrees is None
    return {str(name.value) for name in found.value.permitted_subtrees or []}


LOOPBACK = {"localhost", "127.0.0.1/32", "::1/128"}


def test_an_authority_that_may_sign_for_more_is_made_anew(folder: Path) -> None:
    first = localca.ensure(folder, [*HOSTS, "photos.example"])
    assert constraints(folder) == {*LOOPBACK, "photos.example"}
    before = first.ca.read_bytes()
    localca.ensure(folder, HOSTS)
    assert constraints(folder) == LOOPBACK
    assert first.ca.read_bytes() != before


def test_one_of_an_earlier_release_too(folder: Path) -> None:
    """It was good for ten years and every name."""
    folder.mkdir()
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = named("Blindsight development CA of this machine")
    old = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(old.public_bytes(Encoding.PEM))
    (folder / "ca.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files = localca.ensure(folder, HOSTS)
    assert constraints(folder) == LOOPBACK
    assert accepted(files.ca, Certificate(files.certificate, files.key), "localhost") == (True, True)
    assert accepted(files.ca, sign(folder, ["example.com"]), "example.com") == (False, False)


def test_it_lives_a_year_at_most_and_its_certificates_no_longer(folder: Path) -> None:
    files = localca.ensure(folder, HOSTS)
    authority = x509.load_pem_x509_certificate(files.ca.read_bytes())
    assert authority.not_valid_after_utc - datetime.now(UTC) <= timedelta(days=366)
    late = authority.not_valid_after_utc - timedelta(days=20)
    localca.ensure(folder, HOSTS, now=late)
    assert x509.load_pem_x509_certificate(files.ca.read_bytes()) == authority
    server = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert late < server.not_valid_after_utc <= authority.not_valid_after_utc
    localca.ensure(folder, HOSTS, now=authority.not_valid_after_utc - timedelta(days=3))
    renewed = x509.load_pem_x509_certificate(files.ca.read_bytes())
    assert renewed.not_valid_after_utc > authority.not_valid_after_utc
    x509.load_pem_x509_certificate(files.certificate.read_bytes()).verify_directly_issued_by(renewed)


@pytest.mark.parametrize("damage", ["ca.pem", "ca.key", "server.pem", "another key"])
def test_what_is_damaged_or_does_not_fit_is_made_anew(damage: str, folder: Path, tmp_path: Path) -> None:
    """As a crash between two files would leave it."""
    files = localca.ensure(folder, HOSTS)
    if damage == "another key":
        localca.ensure(tmp_path / "other", HOSTS)
        (folder / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    else:
        (folder / damage).write_bytes(b"x")
    localca.ensure(folder, HOSTS)
    assert accepted(files.ca, Certificate(files.certificate, files.key), "localhost") == (True, True)
    assert accepted(files.ca, sign(folder, ["localhost"]), "localhost") == (True, True)


@pytest.mark.parametrize("host", ["", ".", "*", "*.", "ä.example"])
def test_a_host_that_is_none_is_refused_in_one_line(host: str, folder: Path) -> None:
    """An empty name as a constraint would permit every name."""
    command = [sys.executable, "-m", "blindsight_cli.main", "tls", "--out", str(folder), "--host", host]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: --host is neither a DNS name nor an address: ")
    assert not (folder / "ca.pem").exists()


def test_a_network_is_no_host(folder: Path) -> None:
    localca.ensure(folder, [*HOSTS, "10.0.0.0/8"])
    assert accepted(folder / "ca.pem", sign(folder, ["10.0.0.1"]), "10.0.0.1") == (False, False)
