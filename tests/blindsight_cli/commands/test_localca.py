"""The development authority: made once, its server certificate renewed in time, keys private."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from blindsight_cli import localca

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = ["localhost", "127.0.0.1", "::1"]


def test_the_server_certificate_is_good_for_its_names(tmp_path: Path) -> None:
    files = localca.ensure(tmp_path / "tls", HOSTS)
    store = Store([x509.load_pem_x509_certificate(files.ca.read_bytes())])
    leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    verifier = PolicyBuilder().store(store).build_server_verifier(x509.DNSName("localhost"))
    assert verifier.verify(leaf, [])[0] == leaf


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    files = localca.ensure(tmp_path / "tls", HOSTS)
    before = [path.read_bytes() for path in (files.ca, files.certificate, files.key)]
    localca.ensure(tmp_path / "tls", HOSTS)
    assert [path.read_bytes() for path in (files.ca, files.certificate, files.key)] == before


def test_fewer_names_get_another_certificate_of_the_same_authority(tmp_path: Path) -> None:
    files = localca.ensure(tmp_path / "tls", HOSTS)
    before = files.ca.read_bytes(), files.certificate.read_bytes()
    localca.ensure(tmp_path / "tls", HOSTS[:1])
    assert files.ca.read_bytes() == before[0]
    assert files.certificate.read_bytes() != before[1]


def test_a_certificate_is_renewed_before_it_expires(tmp_path: Path) -> None:
    files = localca.ensure(tmp_path / "tls", HOSTS)
    leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    soon = leaf.not_valid_after_utc - timedelta(days=3)
    localca.ensure(tmp_path / "tls", HOSTS, now=soon)
    renewed = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert renewed.not_valid_after_utc > leaf.not_valid_after_utc > datetime.now(UTC)


def test_keys_are_the_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    localca.ensure(folder, HOSTS)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in folder.iterdir() if path.stat().st_mode & 0o077 == 0} == {"ca.key", "server.key"}
