"""Runs the cases on a verifier in a separate process, and compares its answers."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from blindsight_conformance import protocol
from blindsight_conformance.verifiers import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blindsight_conformance.book import Case
    from blindsight_conformance.verifiers import Verifier

SECONDS = 600
"""Timeout for all cases together, in seconds."""

Outcome = Literal["agrees", "accepts", "refuses", "otherwise", "crashes", "unsupported"]
"""Outcome of a case: as expected; wrongly accepted; wrongly refused; refused with another code or step; no answer; not
supported by this verifier."""


@dataclass(frozen=True)
class Result:
    """The outcomes of all cases for one verifier."""

    name: str
    outcomes: Mapping[str, Outcome]
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, outcome: Outcome) -> list[str]:
        """The ids of the cases with this outcome."""
        return [case for case, found in self.outcomes.items() if found == outcome]

    @property
    def disagreements(self) -> list[str]:
        """The ids of the cases that the verifier supports, but whose verdict is not the expected one."""
        return [case for case, found in self.outcomes.items() if found not in {"agrees", "unsupported"}]


def run(verifier: Verifier, cases: Sequence[Case], roots: Mapping[str, str]) -> Result:
    """Run all cases on `verifier`. If its process ends early, start it again after the question without an answer.

    `roots` maps SHA-256 to DER in base64. Raises `OSError` if the verifier cannot be started.
    """
    questions = {case.id: protocol.question(case, roots) for case in cases}
    answers: dict[str, Mapping[str, Any]] = {}
    left = list(questions)
    while left:
        found = _asked(verifier, [questions[case] for case in left])
        answers |= found
        unanswered = [case for case in left if case not in found]
        if unanswered:
            answers[unanswered[0]] = {"crashed": True}
        left = unanswered[1:]
    return Result(verifier.name, {case.id: _outcome(case, answers[case.id], verifier) for case in cases}, answers)


def _asked(verifier: Verifier, questions: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The answers before the process ends: id of the case to answer."""
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    try:
        done = subprocess.run(
            verifier.command, cwd=ROOT, input=lines, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return {}
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {answer["id"]: answer for answer in answers}


def _outcome(case: Case, answer: Mapping[str, Any], verifier: Verifier) -> Outcome:
    if "crashed" in answer:
        return "crashes"
    if "unsupported" in answer:
        return "unsupported"
    expected = case.expected["result"] == "accepted"
    if answer["accepted"] is not expected:
        return "accepts" if answer["accepted"] else "refuses"
    details = {name: value for name, value in case.expected.items() if name != "result"}
    if verifier.codes and details != {name: answer.get(name) for name in details}:
        return "otherwise"
    return "agrees"
