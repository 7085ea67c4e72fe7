"""Evidence as Cape's clients verify it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import cbor2
import pytest

from blindsight.cape.evidence import fingerprint, is_simulated, verify_document
from blindsight.errors import EvidenceError
from enclave_runtime.evidence.simulated import SimulatedProducer
from tests.blindsight.attestation.attestation_forge import NONCE, NOW, PCRS, Forge, party

if TYPE_CHECKING:
    from pathlib import Path

FORGE = Forge()
USER_DATA = b'{"key":"AAAA"}'
CAPE = {"user_data": USER_DATA}


def verify(document: bytes, **options: Any) -> Any:
    defaults = {"root": FORGE.root.certificate, "nonce": NONCE, "at": NOW, "pcrs": {}}
    return verify_document(document, **(defaults | options))


def refused(document: bytes, code: str, **options: Any) -> EvidenceError:
    with pytest.raises(EvidenceError) as caught:
        verify(document, **options)
    assert caught.value.code == code
    return caught.value


def test_a_document_of_cape_passes() -> None:
    document = verify(FORGE.document(**CAPE))
    assert (document.user_data, document.nonce, document.pcrs) == (USER_DATA, NONCE, PCRS)


def test_with_or_without_the_tag() -> None:
    assert verify(b"\xd2" + FORGE.document(**CAPE)) == verify(FORGE.document(**CAPE))


def test_a_simulated_enclave_passes_under_its_own_root_only(tmp_path: Path) -> None:
    producer = SimulatedProducer(tmp_path, {0: b"\x01" * 48}, clock=lambda: NOW)
    document = producer.attest(nonce=NONCE, user_data=USER_DATA, public_key=bytes(32))
    root = producer._root.certificate
    assert verify(document, root=root).module_id == producer.module_id
    assert fingerprint(root) == producer.root_fingerprint
    assert is_simulated(root)
    refused(document, "root_not_pinned")
    refused(document, "root_not_pinned", root=None)


def test_only_a_root_that_says_so_is_simulated() -> None:
    assert not is_simulated(None)
    assert not is_simulated(FORGE.root.certificate)


def test_awss_root_is_the_default() -> None:
    assert fingerprint(None) == "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"


@pytest.mark.parametrize("nonce", [b"", NONCE[:-1], NONCE + b"\0", bytes(32)])
def test_another_nonce_is_refused(nonce: bytes) -> None:
    assert str(refused(FORGE.document(**CAPE, nonce=nonce), "nonce_mismatch")) == "error validating nonce"


def test_no_nonce_answers_nobody() -> None:
    refused(FORGE.document(**CAPE, nonce=None), "nonce_mismatch")
    verify(FORGE.document(**CAPE, nonce=None), nonce=None)


def test_listed_measurements_must_be_there() -> None:
    mine, other = PCRS[0].hex(), "ff" * 48
    verify(FORGE.document(**CAPE), pcrs={0: frozenset([mine]), 1: frozenset([other, PCRS[1].hex()])})
    error = refused(FORGE.document(**CAPE), "pcr_mismatch", pcrs={0: frozenset(["b", "a"])})
    assert str(error) == f"PCR0 {mine} does not match [a b]"
    refused(FORGE.document(**CAPE), "pcr_missing", pcrs={20: frozenset([""])})


def test_a_debug_enclave_is_refused_whatever_is_listed() -> None:
    zero = dict.fromkeys(range(16), bytes(48))
    refused(FORGE.document(**CAPE, pcrs=zero), "debug_document", pcrs={0: frozenset(["00" * 48])})


def test_expired_evidence_is_refused_now_and_read_for_a_users_key() -> None:
    document = FORGE.document(**CAPE)
    refused(document, "certificate_expired", at=NOW + timedelta(hours=4))
    assert verify(document, at="leaf", nonce=None).user_data == USER_DATA


def test_for_a_users_key_the_issuers_must_have_been_valid_then() -> None:
    early = Forge()
    early.leaf = party(early.parties[-1], "leaf", ca=False, start=NOW - timedelta(days=2))
    with pytest.raises(EvidenceError) as caught:
        verify(early.document(**CAPE), root=early.root.certificate, at="leaf")
    assert caught.value.code == "certificate_not_yet_valid"


def test_an_enclaves_clock_may_be_a_little_ahead() -> None:
    def minted(ahead: timedelta) -> tuple[bytes, Forge]:
        forge = Forge()
        forge.leaf = party(forge.parties[-1], "leaf", ca=False, start=NOW + ahead)
        return forge.document(**CAPE, timestamp=int((NOW + ahead).timestamp() * 1000)), forge

    document, forge = minted(timedelta(seconds=50))
    verify(document, root=forge.root.certificate)
    document, forge = minted(timedelta(seconds=70))
    refused(document, "certificate_not_yet_valid", root=forge.root.certificate)


def test_a_change_in_the_payload_breaks_the_signature() -> None:
    protected, unprotected, payload, signature = cbor2.loads(FORGE.document(**CAPE))
    changed = payload.replace(USER_DATA, b'{"key":"BBBB"}')
    assert changed != payload
    refused(cbor2.dumps([protected, unprotected, changed, signature]), "invalid_signature")


def test_a_leaf_of_another_authority_is_refused() -> None:
    stranger = Forge()
    forged = Forge(root=FORGE.root, parties=FORGE.parties, leaf=stranger.leaf)
    refused(forged.document(**CAPE), "invalid_chain")


@pytest.mark.parametrize("document", [b"", b"\x84", bytes(20_000)])
def test_what_is_no_document_is_refused(document: bytes) -> None:
    with pytest.raises(EvidenceError):
        verify(document)


def test_the_time_is_only_that_of_the_caller() -> None:
    refused(FORGE.document(**CAPE), "certificate_not_yet_valid", at=datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("seconds", "code"), [(0, None), (300, None), (301, "evidence_too_old"), (-60, None), (-61, "evidence_from_future")]
)
def test_live_evidence_has_an_age_like_any_other(seconds: int, code: str | None) -> None:
    """A nonce that a host could foresee would otherwise make an old document a fresh one."""
    document = FORGE.document(**CAPE)
    if code is None:
        verify(document, at=NOW + timedelta(seconds=seconds))
    else:
        refused(document, code, at=NOW + timedelta(seconds=seconds))


def test_a_users_key_has_none() -> None:
    assert verify(FORGE.document(**CAPE), at="leaf", nonce=None).user_data == USER_DATA
