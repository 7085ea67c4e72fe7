from __future__ import annotations

import pytest

from blindsight.attestation.steps import Step, Steps
from blindsight.errors import EvidenceFormatError, PolicyError


def test_the_step_that_refuses_gives_its_number():
    steps = Steps()
    with steps.step(1, "Envelope") as step:
        step.passed("a", "b")
    with pytest.raises(EvidenceFormatError) as refused, steps.step(2, "Fields"):
        raise EvidenceFormatError("invalid_field", "no")
    assert refused.value.step == 2


def test_outside_of_a_verification_there_is_no_step():
    assert EvidenceFormatError("invalid_field", "no").step == 0


def test_other_errors_pass_as_they_are():
    with pytest.raises(PolicyError) as refused, Steps().step(3, "Root"):
        raise PolicyError("policy_expired", "no")
    assert not hasattr(refused.value, "step")


def test_a_step_may_tell_later_what_it_found():
    steps = Steps()
    with steps.step(7, "Measurements") as first:
        pass
    with steps.step(8, "Claims") as second:
        second.asked(False, "claims", "PCR 16")
    first.asked(True, "PCR 0", "the policy's")
    assert steps.done() == (
        Step(7, "Measurements", "PCR 0", "the policy's", "passed"),
        Step(8, "Claims", "nothing", "nothing", "not asked"),
    )


def test_a_step_that_tells_nothing_is_a_mistake():
    steps = Steps()
    with steps.step(1, "Envelope"):
        pass
    with pytest.raises(ValueError, match="nothing is known"):
        steps.done()
