"""The numbered steps of a verification and their results."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from blindsight.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Step:
    """The result of one step: what was `checked`, `against` what, and whether it passed or the policy did not require
    it.
    """

    number: int
    name: str
    checked: str
    against: str
    result: Literal["passed", "not asked"]


class Finding:
    """The result that a running step sets."""

    def __init__(self, number: int, name: str) -> None:
        self._number, self._name = number, name
        self.step: Step | None = None

    def passed(self, checked: str, against: str) -> None:
        self.step = Step(self._number, self._name, checked, against, "passed")

    def unsigned(self) -> None:
        """The step does not apply: the evidence is unsigned."""
        self.step = Step(self._number, self._name, "nothing: the evidence is unsigned", "nothing", "not asked")

    def asked(self, was: bool, checked: str, against: str) -> None:
        """As `passed`, if the policy required a comparison (`was`)."""
        if was:
            self.passed(checked, against)
        else:
            self.step = Step(self._number, self._name, "nothing", "nothing", "not asked")


class Steps:
    """The steps of one verification, in order."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []

    @contextmanager
    def step(self, number: int, name: str) -> Iterator[Finding]:
        """Run the block as a step: an `EvidenceError` raised inside gets its number."""
        finding = Finding(number, name)
        self._findings.append(finding)
        with numbered(number):
            yield finding

    def done(self) -> tuple[Step, ...]:
        """All steps in order. Raises `ValueError` for a step without a result, which is a programming error."""
        steps = tuple(finding.step for finding in self._findings if finding.step is not None)
        if len(steps) != len(self._findings):
            raise ValueError("a step was taken of which nothing is known")
        return steps


@contextmanager
def numbered(number: int) -> Iterator[None]:
    """Add the step's number to an `EvidenceError` raised inside."""
    try:
        yield
    except EvidenceError as error:
        error.step = number
        raise
