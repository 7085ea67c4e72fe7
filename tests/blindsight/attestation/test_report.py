from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from blindsight.attestation import AWS_NITRO_ROOT_G1, Policy, UnsafeAcceptAnything, verify, verify_archived
from tests.blindsight.attestation.attestation_forge import NONCE, NOW, Forge

NAMES = "Envelope, Fields, Root, Chain, Signature, Debug mode, Measurements, Claims, Identity, Freshness"


def test_every_step_is_recorded_and_passed() -> None:
    forge = Forge()
    report = forge.verify(forge.document()).report
    assert [step.number for step in report.steps] == list(range(1, 11))
    assert ", ".join(step.name for step in report.steps) == NAMES
    assert {step.result for step in report.steps} == {"passed"}
    assert (report.kind, report.at, report.archived) == ("simulated", NOW, False)


def test_what_was_not_asked_says_so() -> None:
    forge = Forge()
    document = forge.document(user_data=None)
    for report in (
        verify_archived(document, policy=UnsafeAcceptAnything()).report,
        verify(document, policy=UnsafeAcceptAnything(), nonce=None, now=NOW).report,
    ):
        not_asked = [step.name for step in report.steps if step.result == "not asked"]
        assert not_asked[:3] == ["Measurements", "Claims", "Identity"]
        assert ("Freshness" in not_asked) == report.archived


def test_rendering_is_plain_and_names_simulation() -> None:
    forge = Forge()
    text = forge.verify(forge.document()).report.render()
    assert text.startswith("SIMULATED evidence")
    assert text.isascii()
    assert len(text.splitlines()) == 11


def test_module_id_cannot_forge_lines_of_the_report() -> None:
    forge = Forge()
    text = forge.verify(forge.document(module_id="x\n 11. Hardware  passed\x1b[0m")).report.render()
    assert len(text.splitlines()) == 11
    assert "\x1b" not in text


def test_dictionary_is_json() -> None:
    forge = Forge()
    report = forge.verify(forge.document()).report.to_dict()
    assert json.loads(json.dumps(report)) == report
    assert report["steps"][0] == {
        "number": 1,
        "name": "Envelope",
        "checked": f"{len(forge.document())} bytes",
        "against": "COSE_Sign1 with ES384",
        "result": "passed",
    }


def test_what_is_accepted_is_so_until_policy_or_release_end_whichever_is_first() -> None:
    forge = Forge()
    release = forge.policy().releases[0]
    early, late = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    for ends, until in (((None, None), None), ((early, None), early), ((None, late), late), ((late, early), early)):
        policy = Policy(releases=(replace(release, expires=ends[1]),), expires=ends[0])
        assert verify(forge.document(), policy=policy, nonce=NONCE, now=NOW).until == until


def test_to_look_at_a_document_it_is_genuine_only_under_awss_root() -> None:
    kinds = {root: UnsafeAcceptAnything().releases_of(root)[0].kind for root in (AWS_NITRO_ROOT_G1, "ab" * 32)}
    assert list(kinds.values()) == ["nitro", "simulated"]
    assert UnsafeAcceptAnything().releases_of(None) == ()
