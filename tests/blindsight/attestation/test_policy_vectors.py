"""The JSON vectors of policies that every implementation runs: here Python's, part by part and through the verifier."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from blindsight import errors
from blindsight.attestation import AWS_NITRO_ROOT_G1, Claims, Policy, matching, verify, verify_archived
from blindsight.attestation.roots import SIMULATED_ROOT_NAME
from blindsight.attestation.steps import numbered
from blindsight.errors import BlindsightError, EvidenceError, PolicyError
from tests.blindsight.attestation.attestation_forge import CLAIMS, NONCE, Forge, party
from tests.support import policy_vectors

CASES = json.loads(policy_vectors.FILE.read_text("utf-8"))["cases"]
FORGES = {"nitro": Forge(), "simulated": Forge(root=party(None, SIMULATED_ROOT_NAME))}
EMULATED = "qemu-nitro-enclave"

cases = pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])


def pcrs_of(case: dict[str, Any]) -> dict[int, bytes]:
    return {int(index): bytes.fromhex(value) for index, value in case["document"]["pcrs"].items()}


def claims_of(case: dict[str, Any]) -> Claims | None:
    function, model = (case["document"][name] for name in ("function_checksum", "model_digest"))
    if function is None:
        return None
    return Claims(bytes.fromhex(function), CLAIMS.key_configs_sha256, bytes.fromhex(model), CLAIMS.receipt_key_sha256)


def outcome_of(judge: Any) -> dict[str, Any]:
    try:
        return {"accepted": True, **judge()}
    except BlindsightError as error:
        step = {"step": error.step} if isinstance(error, EvidenceError) else {}
        return {"refused": error.code, **step}


@cases
def test_matching(case: dict[str, Any]) -> None:
    if case["expect"].get("refused") in {"simulated_root", "wrong_algorithm"}:
        pytest.skip("certificates call themselves simulated, an envelope is unsigned; see the next test")

    def judge() -> dict[str, Any]:
        at, policy = datetime.fromisoformat(case["at"]), Policy.from_json(case["policy"])
        matching.check_policy(policy, at=at)
        root = case["document"]["root"]
        with numbered(3):
            releases = policy.releases_of(None) if root is None else matching.by_root(policy, root)
        with numbered(7):
            releases = matching.by_measurements(releases, pcrs_of(case), policy=policy, at=at)
        with numbered(9):
            release = matching.by_identity(releases, claims_of(case), policy=policy)
        return {"release": release.name, "kind": release.kind, "left_open": list(release.left_open)}

    assert outcome_of(judge) == case["expect"]


@cases
@pytest.mark.parametrize("archived", [False, True], ids=["live", "archived"])
def test_verifying_a_document(case: dict[str, Any], archived: bool) -> None:
    """The same through the verifier, with a root of the test's own in the place of the document's."""
    shown, at = case["document"], datetime.fromisoformat(case["at"])
    if shown["root"] == AWS_NITRO_ROOT_G1:
        pytest.skip("AWS does not sign for tests")
    emulated, claims = shown["kind"] == EMULATED, claims_of(case)
    forge = FORGES["nitro" if emulated else shown["kind"]]
    make = forge.emulated if emulated else forge.document
    document = make(
        timestamp=int(at.timestamp() * 1000), pcrs=pcrs_of(case), user_data=None if claims is None else claims.to_json()
    )

    def judge() -> dict[str, Any]:
        text = case["policy"]
        for root in () if emulated else (shown["root"], shown["root"].upper()):
            text = text.replace(root, forge.fingerprint)
        policy = Policy.from_json(text)
        if archived:
            report = verify_archived(document, policy=policy).report
        else:
            report = verify(document, policy=policy, nonce=NONCE, now=at).report
        return {"release": report.release, "kind": report.kind, "left_open": list(report.left_open)}

    assert outcome_of(judge) == case["expect"]


def test_there_is_a_case_for_every_refusal_and_every_way_to_leave_something_open() -> None:
    found = {case["expect"].get("refused") for case in CASES}
    refusals = {
        "root_not_pinned", "simulated_root", "pcr_missing", "pcr_mismatch", "release_too_old", "release_expired",
        "release_recalled", "claims_missing", "function_not_accepted", "model_not_accepted", "wrong_algorithm",
    }  # fmt: skip
    assert found == {None, *refusals, *PolicyError.NEXT_STEPS}
    steps = {case["expect"]["step"] for case in CASES if case["expect"].get("refused") == "release_recalled"}
    assert steps == {7, 9}
    left_open = {tuple(case["expect"].get("left_open", ())) for case in CASES}
    assert left_open == {(), ("code",), ("function",), ("code", "function")}
    assert errors.EvidenceMeasurementError.NEXT_STEPS.keys() <= found
    assert len({case["name"] for case in CASES}) == len(CASES) >= 60


def test_the_file_is_what_the_generator_makes() -> None:
    assert policy_vectors.FILE.read_text("utf-8") == policy_vectors.text()


@cases
def test_a_policy_that_is_written_and_read_again_is_the_same(case: dict[str, Any]) -> None:
    try:
        policy = Policy.from_json(case["policy"])
    except PolicyError:
        return
    text = policy.to_json()
    assert json.loads(text)["schema"] == "blindsight-policy/2"
    assert Policy.from_json(text) == policy
    assert Policy.from_json(text).to_json() == text
