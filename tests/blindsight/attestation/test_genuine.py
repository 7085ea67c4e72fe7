"""Documents that AWS's hardware signed, and AWS's root certificate."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from blindsight.attestation import AWS_NITRO_ROOT_G1, Policy, UnsafeAcceptAnything, verify, verify_archived
from blindsight.attestation.release import Release
from blindsight.errors import EvidenceError


@dataclass(frozen=True)
class Genuine:
    """A production document: `pcrs` are the first bytes of its measurements, `first` of its payload."""

    name: str
    first: int
    made: datetime
    module_id: str
    user_data_bytes: int
    pcrs: dict[int, str]


# Of 2023 as published with it; its outer map is definite (0xa9), that of 2025 indefinite (0xbf).
PRODUCTION = (
    Genuine(
        "nitro_production_2023-02.bin",
        0xA9,
        datetime(2023, 2, 10, 12, 43, 31, 418000, tzinfo=UTC),
        "i-08dd44ce4cc5ced0b-enc01863b583eb9dfbf",
        746,
        {0: "bda74673e83a", 1: "bcdf05fefcca", 2: "f2725d726cb7", 8: "6f1ff0f2a7a0"},
    ),
    Genuine(
        "nitro_production_2025-12.bin",
        0xBF,
        datetime(2025, 12, 25, 16, 4, 19, 346000, tzinfo=UTC),
        "i-0827e799ec9232d44-enc019b5640fdf630d6",
        64,
        {0: "eb7d0dab08ff", 1: "0343b056cd84", 2: "d7b0a76788c1"},
    ),
)
DEBUG = ("nitro_debug_2022-07.bin", "nitro_debug_2025-12.bin")


@pytest.fixture(scope="module")
def folder() -> Path:
    assets = os.environ.get("BLINDSIGHT_ASSETS")
    if not assets:
        pytest.skip("BLINDSIGHT_ASSETS names no folder with genuine attestation documents")
    return Path(assets) / "attestation"


@pytest.fixture(scope="module", params=PRODUCTION, ids=lambda genuine: genuine.name)
def genuine(request: pytest.FixtureRequest) -> Genuine:
    found: Genuine = request.param
    return found


@pytest.fixture(scope="module")
def production(folder: Path, genuine: Genuine) -> bytes:
    return (folder / genuine.name).read_bytes()


@pytest.fixture(scope="module")
def policy(production: bytes, genuine: Genuine) -> Policy:
    # By another decoder than the verifier's.
    measured = cbor2.loads(cbor2.loads(production)[2])["pcrs"]
    for index, start in genuine.pcrs.items():
        assert measured[index].hex().startswith(start)
    return Policy.expecting({index: measured[index].hex() for index in genuine.pcrs}, any_function=True)


def test_production_document_verifies_at_its_own_time(genuine: Genuine, production: bytes, policy: Policy) -> None:
    try:
        verified = verify_archived(production, policy=policy)
    except EvidenceError as error:
        pytest.fail(f"{genuine.name} is refused: {error.code}, step {error.step}")
    assert (verified.kind, verified.root_sha256) == ("nitro", AWS_NITRO_ROOT_G1)
    assert verified.document.timestamp == genuine.made
    assert verified.document.module_id == genuine.module_id
    assert len(verified.document.user_data or b"") == genuine.user_data_bytes
    assert verified.document.unknown_fields == ()
    assert verified.claims is None
    assert verified.report.archived


def test_the_documents_have_the_form_that_is_said_of_them(genuine: Genuine, production: bytes) -> None:
    assert production[0] == 0x84
    assert cbor2.loads(production)[2][0] == genuine.first


def test_production_document_verifies_live_within_its_minutes(production: bytes, policy: Policy) -> None:
    timestamp = verify_archived(production, policy=policy).document.timestamp
    verify(production, policy=policy, nonce=None, now=timestamp + timedelta(seconds=299))
    nonce = verify_archived(production, policy=policy).document.nonce
    if nonce is None:
        with pytest.raises(EvidenceError) as caught:
            verify(production, policy=policy, nonce=bytes(16), now=timestamp)
        assert caught.value.code == "nonce_missing"
    else:
        verify(production, policy=policy, nonce=nonce, now=timestamp)
    with pytest.raises(EvidenceError) as caught:
        verify(production, policy=policy, nonce=None, now=timestamp + timedelta(seconds=301))
    assert caught.value.code == "evidence_too_old"


def test_production_document_is_expired_today(production: bytes, policy: Policy) -> None:
    with pytest.raises(EvidenceError) as caught:
        verify(production, policy=policy, nonce=None, now=datetime.now(UTC))
    assert (caught.value.code, caught.value.step) == ("certificate_expired", 4)


def test_production_document_of_other_code_is_refused(production: bytes) -> None:
    policy = Policy.expecting({0: "ab" * 48}, function_in_image=True)
    with pytest.raises(EvidenceError) as caught:
        verify_archived(production, policy=policy)
    assert (caught.value.code, caught.value.step) == ("pcr_mismatch", 7)


@pytest.mark.parametrize("name", DEBUG)
@pytest.mark.parametrize("accepting", ["anything", "PCR 4"])
def test_debug_document_is_refused_as_such(folder: Path, name: str, accepting: str) -> None:
    # Its signature and chain are genuine, so nothing but the debug check can refuse it.
    document = (folder / name).read_bytes()
    measured = cbor2.loads(cbor2.loads(document)[2])["pcrs"][4].hex()
    assert measured.strip("0")
    release = Release("nitro", pcrs={4: frozenset([measured])}, any_code=True, any_function=True)
    policy = Policy(releases=(release,))
    with pytest.raises(EvidenceError) as caught:
        verify_archived(document, policy=UnsafeAcceptAnything() if accepting == "anything" else policy)
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
