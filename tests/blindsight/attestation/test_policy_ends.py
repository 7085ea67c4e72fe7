"""Ends of policies and releases, and recalled releases: by the verifier's time, or by an archived document's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from blindsight.attestation import Policy, verify, verify_archived
from blindsight.errors import BlindsightError, EvidenceError, PolicyError
from tests.blindsight.attestation.attestation_forge import CLAIMS, NONCE, NOW, PCRS, Forge

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


def made_at(forge: Forge, time: datetime) -> bytes:
    return forge.document(timestamp=int(time.timestamp() * 1000))


def code_of(judge: Any) -> str | None:
    try:
        judge()
    except BlindsightError as error:
        return error.code
    return None


def test_an_expired_policy_is_refused_before_the_evidence_is_looked_at(forge: Forge) -> None:
    policy = replace(forge.policy(), expires=NOW)
    for evidence in (b"", b"\xff" * 100_000, forge.document()):
        with pytest.raises(PolicyError) as caught:
            verify(evidence, policy=policy, nonce=NONCE, now=NOW)
        assert caught.value.code == "policy_expired"


def test_the_policy_ends_by_the_verifiers_time_not_by_the_documents(forge: Forge) -> None:
    """A document that says it is older, or newer, changes nothing: its host sets the enclave's clock."""
    policy = replace(forge.policy(), expires=NOW)
    for offset in (-30 * SECOND, 30 * SECOND):
        document = made_at(forge, NOW + offset)
        assert (
            code_of(lambda document=document: verify(document, policy=policy, nonce=NONCE, now=NOW)) == "policy_expired"
        )
        assert code_of(lambda document=document: verify(document, policy=policy, nonce=NONCE, now=NOW - SECOND)) is None


@pytest.mark.parametrize("offset", [-30 * SECOND, 30 * SECOND])
def test_a_release_ends_by_the_verifiers_time_not_by_the_documents(forge: Forge, offset: timedelta) -> None:
    policy, document = forge.policy(expires=NOW), made_at(forge, NOW + offset)
    assert code_of(lambda: verify(document, policy=policy, nonce=NONCE, now=NOW)) == "release_expired"
    assert code_of(lambda: verify(document, policy=policy, nonce=NONCE, now=NOW - SECOND)) is None


@pytest.mark.parametrize(("offset", "late"), [(-SECOND, False), (0 * SECOND, True), (SECOND, True)])
def test_archived_documents_are_judged_by_their_own_time(forge: Forge, offset: timedelta, late: bool) -> None:
    document = made_at(forge, NOW + offset)
    ended_policy, ended_release = replace(forge.policy(), expires=NOW), forge.policy(expires=NOW)
    assert code_of(lambda: verify_archived(document, policy=ended_policy)) == ("policy_expired" if late else None)
    assert code_of(lambda: verify_archived(document, policy=ended_release)) == ("release_expired" if late else None)


def test_an_archived_documents_time_counts_only_once_it_is_signed(forge: Forge) -> None:
    document = bytearray(made_at(forge, NOW))
    document[-1] ^= 1
    with pytest.raises(EvidenceError) as caught:
        verify_archived(bytes(document), policy=replace(forge.policy(), expires=NOW))
    assert caught.value.code == "invalid_signature"


@pytest.mark.parametrize(
    ("recalled", "step"),
    [(PCRS[2].hex(), 7), (PCRS[16].hex(), 7), (CLAIMS.func_checksum.hex(), 9), (CLAIMS.model_sha256.hex(), 9)],
)
def test_a_recalled_release_is_refused_in_archives_too(forge: Forge, recalled: str, step: int) -> None:
    policy = replace(forge.policy(), refuse=frozenset({recalled}))
    for judge in (
        lambda: verify(forge.document(), policy=policy, nonce=NONCE, now=NOW),
        lambda: verify_archived(forge.document(), policy=policy),
    ):
        with pytest.raises(EvidenceError) as caught:
            judge()
        assert (caught.value.code, caught.value.step) == ("release_recalled", step)
        assert recalled in str(caught.value)


def test_a_policy_without_ends_has_none(forge: Forge) -> None:
    assert Policy.from_json(forge.policy().to_json()).expires is None
    assert code_of(lambda: verify_archived(forge.document(), policy=forge.policy())) is None
