"""The conformance suite of attestation verifiers, on this one; and the suite itself: whole, and made as it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from blindsight.attestation import EvidenceKind
from blindsight.errors import EvidenceError
from blindsight_conformance import manifest, protocol
from blindsight_conformance.drivers import ours
from blindsight_conformance.rows import ROWS

if TYPE_CHECKING:
    from blindsight_conformance.book import Case

ROOT = Path(__file__).parents[3]
CASES = manifest.load()
ROOTS = manifest.roots()


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_case(case: Case) -> None:
    answer = ours.judge(protocol.question(case, ROOTS))
    reason = answer.pop("reason", "")
    details = {name: value for name, value in case.expected.items() if name != "result"}
    assert answer == {"accepted": case.expected["result"] == "accepted", **details}, reason


def test_the_folder_holds_what_the_generator_makes() -> None:
    made = manifest.files()
    found = {
        str(path.relative_to(manifest.FOLDER)): path.read_bytes()
        for path in manifest.FOLDER.rglob("*")
        if path.is_file() and path.name != "README.md"
    }
    assert {name for name in made if made[name] != found.get(name)} == set()
    assert found.keys() == made.keys()


def test_there_are_cases_or_tests_for_every_row() -> None:
    assert list(ROWS) == list(range(1, 31))
    for number, row in ROWS.items():
        assert row.tests or any(number in case.rows for case in CASES), number
        for test in row.tests:
            path, _, name = test.partition("::")
            assert f"def {name}(" in (ROOT / path).read_text("utf-8") if name else (ROOT / path).exists(), test


def test_there_is_a_case_for_every_refusal_of_evidence_and_every_kind() -> None:
    found = {case.expected.get("code") for case in CASES}
    codes = {code for each in EvidenceError.__subclasses__() for code in each.NEXT_STEPS}
    # That one is about the JSON around a document.
    assert codes - {"unsupported_envelope"} <= found
    kinds = {case.expected["kind"] for case in CASES if case.expected["result"] == "accepted"}
    assert kinds == set(get_args(EvidenceKind))
    assert len(CASES) >= 500
