"""What a verdict carries beside yes and no: the report as a whole, the place of a fault, values in one form."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from blindsight.attestation import Policy, Release, check_key_configs, check_model, cose, proof
from blindsight.attestation.release import whole_seconds
from blindsight.attestation.steps import Steps
from blindsight.attestation.verifier import CALLERS_STEP
from blindsight.errors import EvidenceError
from blindsight_conformance.forge import unsigned
from tests.blindsight.attestation.attestation_forge import CLAIMS, NOW, Forge

if TYPE_CHECKING:
    from blindsight.attestation import chain as chains
    from blindsight.attestation.document import AttestationDocument


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


def test_a_report_names_what_was_checked_and_against_what(forge: Forge) -> None:
    document = forge.document()
    report = forge.verify(document).report
    assert [(step.checked, step.against) for step in report.steps] == [
        (f"{len(document)} bytes", "COSE_Sign1 with ES384"),
        (f"document of {forge.verify(document).document.module_id!a}", "AWS's field table"),
        (f"root {forge.fingerprint}", "the policy's roots, as simulated"),
        ("5 certificates", f"the root's key, at {NOW:%Y-%m-%d %H:%M:%SZ}"),
        ("signature over the payload", "the key of the leaf certificate"),
        ("PCR 0, 1, 2", "not all zero"),
        ("PCR 0, 1, 2", "the policy's accepted values"),
        ("function and model in user_data", "PCR 16"),
        ("function and model", "the policy's accepted values"),
        ("nonce and age", "the caller's nonce, 300 s at most"),
    ]


def test_a_verdict_has_the_root_and_the_digest(forge: Forge) -> None:
    verified = forge.verify(forge.document())
    assert verified.root_sha256 == forge.fingerprint
    assert verified.document.digest == "SHA384"


def _message(forge: Forge, document: bytes, **options: object) -> str:
    with pytest.raises(EvidenceError) as refused:
        forge.verify(document, **options)  # type: ignore[arg-type]
    return str(refused.value)


def test_the_place_of_a_fault_is_named(forge: Forge) -> None:
    late = forge.document()
    assert _message(forge, late, now=NOW + timedelta(hours=4)).startswith("Certificate 2 of 5, from the root,")
    assert _message(forge, late, now=NOW + timedelta(days=40_000)).startswith("Certificate 1 of 5, from the root,")


def test_the_bindings_are_the_callers_step(forge: Forge) -> None:
    verified = forge.verify(forge.document())
    for check in (check_key_configs, check_model):
        with pytest.raises(EvidenceError) as refused:
            check(verified, b"another")
        assert refused.value.step == CALLERS_STEP == 11


def test_the_time_of_judgement_may_depend_on_the_chain(forge: Forge) -> None:
    seen = []

    def at(document: AttestationDocument, chain: chains.Chain) -> datetime:
        seen.append((document.module_id, len(chain.certificates)))
        return NOW

    proven = proof.prove(forge.document(), kind_of_root=lambda _: "simulated", judged_at=at, steps=Steps())
    assert seen == [(proven.document.module_id, 5)]


def test_an_unsigned_message_is_refused_unless_it_is_asked_for() -> None:
    message = unsigned(b"a payload")
    with pytest.raises(EvidenceError):
        cose.parse(message)
    assert cose.parse(message, unsigned=True).unsigned


def test_roots_have_one_form() -> None:
    release = Release(kind="simulated", roots=frozenset(["AB" * 32]), any_code=True, any_function=True)
    assert release.roots == frozenset(["ab" * 32])


def test_times_are_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a machine that is elsewhere."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        given = datetime(2027, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
        assert whole_seconds(given, "expires").tzinfo is UTC
        release = Release(kind="nitro", any_code=True, any_function=True, expires=given)
        policy = Policy(releases=(release,), expires=given)
        assert policy.expires is not None
        assert policy.expires.tzinfo is UTC
        assert '"expires": "2027-01-01T00:00:00Z"' in policy.to_json()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_policy_file_is_laid_out_for_its_readers() -> None:
    text = Policy(releases=(Release(kind="nitro", any_code=True, any_function=True),)).to_json()
    assert text.splitlines()[1].startswith('  "schema"')
    assert text.endswith("}\n")


def test_claims_are_the_forges(forge: Forge) -> None:
    assert forge.verify(forge.document()).claims == CLAIMS
