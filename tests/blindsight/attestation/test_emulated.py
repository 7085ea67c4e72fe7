"""Unsigned documents of QEMU's `nitro-enclave` machine: refused, unless a release names that machine, and then said."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import cbor2
import pytest

from blindsight.attestation import Policy, Release, UnsafeAcceptAnything, verify, verify_archived
from blindsight.cape import evidence as cape_evidence
from blindsight.errors import EvidenceError, PolicyError
from tests.blindsight.attestation.attestation_forge import (
    ANY_FUNCTION,
    CLAIMS,
    ES384,
    NONCE,
    NOW,
    PCRS,
    UNSIGNED,
    Forge,
    refusal,
    unsigned,
)

KIND = "qemu-nitro-enclave"
SAYS = "EMULATED ENCLAVE (QEMU): the evidence is unsigned and proves nothing"


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


def emulated_refusal(forge: Forge, document: bytes, **options: object) -> tuple[str, int]:
    return refusal(forge, document, kind=KIND, **options)


def test_a_release_of_that_kind_accepts_it_and_says_so(forge: Forge) -> None:
    verified = forge.verify(forge.emulated(), kind=KIND)
    assert (verified.kind, verified.root_sha256, verified.claims) == (KIND, None, CLAIMS)
    report = verified.report
    assert report.render().startswith(SAYS)
    assert report.notice == f"{SAYS}."
    assert report.to_dict()["notice"] == f"{SAYS}."
    assert [step.name for step in report.steps if step.result == "not asked"] == ["Root", "Chain", "Signature"]
    assert "as QEMU writes it" in report.steps[0].against
    assert report.render().count("the evidence is unsigned") == 4
    assert report.at == NOW


def test_it_is_read_in_both_forms_and_tagged_as_any_document(forge: Forge) -> None:
    payload = forge.payload(certificate=bytes(64), cabundle=[bytes(64)])
    assert payload[0] == 0xBF
    for document in (unsigned(payload), b"\xd2" + forge.emulated()):
        assert forge.verify(document, kind=KIND).kind == KIND
    nothing = forge.emulated(public_key=None, user_data=None, nonce=None)
    assert forge.verify(nothing, kind=KIND, nonce=None, **ANY_FUNCTION).claims is None


def test_it_is_judged_at_its_own_time_when_archived(forge: Forge) -> None:
    report = verify_archived(forge.emulated(), policy=forge.policy(kind=KIND)).report
    assert (report.kind, report.archived, report.at) == (KIND, True, NOW)


@pytest.mark.parametrize("kind", ["nitro", "simulated"])
def test_every_other_policy_refuses_it_for_its_algorithm(forge: Forge, kind: str) -> None:
    assert refusal(forge, forge.emulated(), kind=kind) == ("wrong_algorithm", 1)
    # Not even a policy that takes what stands in the place of the root for one.
    zeros = hashlib.sha256(bytes(64)).hexdigest()
    assert refusal(forge, forge.emulated(), kind=kind, roots=frozenset({zeros})) == ("wrong_algorithm", 1)


@pytest.mark.parametrize("archived", [False, True])
def test_not_even_accepting_anything_accepts_it(forge: Forge, archived: bool) -> None:
    policy = UnsafeAcceptAnything()

    def judge() -> object:
        if archived:
            return verify_archived(forge.emulated(), policy=policy)
        return verify(forge.emulated(), policy=policy, nonce=NONCE, now=NOW)

    with pytest.raises(EvidenceError) as caught:
        judge()
    assert (caught.value.code, caught.value.step) == ("wrong_algorithm", 1)


def test_the_cape_clients_refuse_it(forge: Forge) -> None:
    with pytest.raises(EvidenceError) as caught:
        cape_evidence.verify_document(
            forge.emulated(), root=forge.root.certificate, nonce=NONCE, at=NOW, pcrs={0: frozenset([PCRS[0].hex()])}
        )
    assert (caught.value.code, caught.value.step) == ("wrong_algorithm", 1)


def test_all_other_steps_are_taken(forge: Forge) -> None:
    zeros = PCRS | {index: bytes(48) for index in range(3)}
    assert emulated_refusal(forge, forge.emulated(pcrs=zeros)) == ("debug_document", 6)
    assert emulated_refusal(forge, forge.emulated(pcrs=PCRS | {1: b"\x77" * 48})) == ("pcr_mismatch", 7)
    assert emulated_refusal(forge, forge.emulated(pcrs=PCRS | {16: b"\x77" * 48})) == ("claims_pcr_mismatch", 8)
    assert emulated_refusal(forge, forge.emulated(user_data=None)) == ("claims_missing", 9)
    assert emulated_refusal(forge, forge.emulated(nonce=bytes(32))) == ("nonce_mismatch", 10)
    old = NOW + timedelta(seconds=301)
    assert emulated_refusal(forge, forge.emulated(), now=old) == ("evidence_too_old", 10)
    assert emulated_refusal(forge, forge.emulated() + b"\x00") == ("trailing_bytes", 1)
    assert emulated_refusal(forge, forge.emulated(digest="SHA256")) == ("unsupported_digest", 2)


def test_only_qemus_own_form_is_taken(forge: Forge) -> None:
    payload = cbor2.loads(forge.emulated())[2]
    one = bytes(63) + b"\x01"
    assert emulated_refusal(forge, unsigned(payload, signature=one)) == ("invalid_signature", 5)
    assert emulated_refusal(forge, unsigned(payload, signature=bytes(96))) == ("not_cose_sign1", 1)
    assert emulated_refusal(forge, unsigned(payload, signature=b"")) == ("not_cose_sign1", 1)
    for protected in (b"", b"\xa0", b"\xa1\x01\x26", b"\xa1\x01\x38\x23", b"\xa2\x01\x20\x04\x40"):
        assert emulated_refusal(forge, unsigned(payload, protected=protected)) == ("wrong_algorithm", 1)
    assert emulated_refusal(forge, unsigned(payload, protected=ES384)) == ("not_cose_sign1", 1)
    assert emulated_refusal(forge, cbor2.dumps([UNSIGNED, {1: -35}, payload, bytes(64)])) == ("unprotected_header", 1)
    for certificate in (one, bytes(63), forge.leaf.der):
        document = forge.emulated(certificate=certificate)
        assert emulated_refusal(forge, document) == ("malformed_certificate", 4)
    for bundle in ([one], [bytes(63)], [bytes(64)] * 2, forge.bundle, [bytes(64), *forge.bundle]):
        assert emulated_refusal(forge, forge.emulated(cabundle=bundle)) == ("malformed_certificate", 3)


def test_a_signed_document_is_not_of_that_machine(forge: Forge) -> None:
    assert emulated_refusal(forge, forge.document()) == ("root_not_pinned", 3)
    # Nor is one whose header was changed, so that its signature would not be looked at.
    message = cbor2.loads(forge.document())
    assert emulated_refusal(forge, cbor2.dumps([UNSIGNED, {}, message[2], message[3]])) == ("not_cose_sign1", 1)
    assert emulated_refusal(forge, unsigned(message[2])) == ("malformed_certificate", 3)


def test_beside_other_releases_each_accepts_its_own(forge: Forge) -> None:
    genuine, emulated = (forge.policy(**changes).releases[0] for changes in ({}, {"kind": KIND}))
    other = replace(emulated, pcrs={0: frozenset(["ab" * 48])})
    both, apart = Policy(releases=(genuine, emulated)), Policy(releases=(genuine, other))
    assert verify(forge.document(), policy=both, nonce=NONCE, now=NOW).kind == "simulated"
    assert verify(forge.emulated(), policy=both, nonce=NONCE, now=NOW).kind == KIND
    # Accepting the code as signed does not accept it as unsigned.
    with pytest.raises(EvidenceError) as caught:
        verify(forge.emulated(), policy=apart, nonce=NONCE, now=NOW)
    assert (caught.value.code, caught.value.step) == ("pcr_mismatch", 7)


def test_such_a_release_lists_no_roots(forge: Forge) -> None:
    policy = forge.policy(kind=KIND)
    assert policy.releases[0].roots == frozenset()
    assert '"roots"' not in policy.to_json()
    assert Policy.from_json(policy.to_json()) == policy
    pinned = {"pcrs": {0: frozenset(["ab" * 48])}, "any_function": True}
    for root in (forge.fingerprint, "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"):
        with pytest.raises(PolicyError) as caught:
            Release(kind=KIND, roots=frozenset({root}), **pinned)
        assert caught.value.code == "invalid_policy"
