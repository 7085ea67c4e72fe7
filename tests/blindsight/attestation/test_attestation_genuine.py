"""Documents that AWS's hardware signed, and AWS's root certificate."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from blindsight.attestation import AWS_NITRO_ROOT_G1, Policy, UnsafeAcceptAnything, verify, verify_archived
from blindsight.errors import EvidenceError

PCRS = {
    0: "bda74673e83a",
    1: "bcdf05fefcca",
    2: "f2725d726cb7",
    8: "6f1ff0f2a7a0",
}
"""First bytes of the production document's measurements, as published with it."""


@pytest.fixture(scope="module")
def folder() -> Path:
    assets = os.environ.get("BLINDSIGHT_ASSETS")
    if not assets:
        pytest.skip("BLINDSIGHT_ASSETS names no folder with genuine attestation documents")
    return Path(assets) / "attestation"


@pytest.fixture(scope="module")
def production(folder: Path) -> bytes:
    return (folder / "nitro_production_2023-02.bin").read_bytes()


@pytest.fixture(scope="module")
def policy(production: bytes) -> Policy:
    pcrs = verify_archived(production, policy=UnsafeAcceptAnything()).document.pcrs
    for index, start in PCRS.items():
        assert pcrs[index].hex().startswith(start)
    return Policy(roots={AWS_NITRO_ROOT_G1: "nitro"}, pcrs={index: frozenset([pcrs[index].hex()]) for index in PCRS})


def test_production_document_verifies_at_its_own_time(production: bytes, policy: Policy) -> None:
    verified = verify_archived(production, policy=policy)
    assert (verified.kind, verified.root_sha256) == ("nitro", AWS_NITRO_ROOT_G1)
    assert verified.document.timestamp == datetime(2023, 2, 10, 12, 43, 31, 418000, tzinfo=UTC)
    assert verified.document.module_id == "i-08dd44ce4cc5ced0b-enc01863b583eb9dfbf"
    assert len(verified.document.user_data or b"") == 746
    assert verified.claims is None
    assert verified.report.archived


def test_production_document_verifies_live_within_its_minutes(production: bytes, policy: Policy) -> None:
    timestamp = verify_archived(production, policy=policy).document.timestamp
    verify(production, policy=policy, nonce=None, now=timestamp + timedelta(seconds=299))
    nonce = verify_archived(production, policy=policy).document.nonce
    assert nonce is not None
    verify(production, policy=policy, nonce=nonce, now=timestamp)
    with pytest.raises(EvidenceError) as caught:
        verify(production, policy=policy, nonce=None, now=timestamp + timedelta(seconds=301))
    assert caught.value.code == "evidence_too_old"


def test_production_document_is_expired_today(production: bytes, policy: Policy) -> None:
    with pytest.raises(EvidenceError) as caught:
        verify(production, policy=policy, nonce=None, now=datetime.now(UTC))
    assert (caught.value.code, caught.value.step) == ("certificate_expired", 4)


def test_production_document_of_other_code_is_refused(production: bytes) -> None:
    policy = Policy(roots={AWS_NITRO_ROOT_G1: "nitro"}, pcrs={0: frozenset(["ab" * 48])})
    with pytest.raises(EvidenceError) as caught:
        verify_archived(production, policy=policy)
    assert (caught.value.code, caught.value.step) == ("pcr_mismatch", 7)


@pytest.mark.parametrize("policy", [UnsafeAcceptAnything(), None])
def test_debug_document_is_refused_as_such(folder: Path, policy: UnsafeAcceptAnything | None) -> None:
    # Its signature and chain are genuine, so nothing but the debug check can refuse it.
    chosen = policy or Policy(roots={AWS_NITRO_ROOT_G1: "nitro"}, pcrs={4: frozenset(["ab" * 48])})
    with pytest.raises(EvidenceError) as caught:
        verify_archived((folder / "nitro_debug_2022-07.bin").read_bytes(), policy=chosen)
    assert (caught.value.code, caught.value.step) == ("debug_document", 6)


def test_flipped_bits_of_the_production_document(production: bytes, policy: Policy) -> None:
    for position in range(0, len(production), 97):
        changed = bytearray(production)
        changed[position] ^= 1
        with pytest.raises(EvidenceError):
            verify_archived(bytes(changed), policy=policy)


def test_pinned_fingerprint_is_that_of_the_published_root(folder: Path) -> None:
    root = x509.load_pem_x509_certificate((folder / "nitro_root_g1.pem").read_bytes())
    der = root.public_bytes(serialization.Encoding.DER)
    assert hashlib.sha256(der).hexdigest() == AWS_NITRO_ROOT_G1
    root.verify_directly_issued_by(root)
