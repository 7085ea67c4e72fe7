"""What a caller is told after evidence that the policy does not accept: not to accept the gateway's own values."""

from __future__ import annotations

import pytest

from blindsight.errors import EvidenceClaimsError, EvidenceMeasurementError


@pytest.mark.parametrize("code", ["pcr_mismatch", "function_not_accepted", "model_not_accepted"])
def test_the_policy_is_not_to_be_fitted_to_the_gateway(code: str) -> None:
    steps = EvidenceMeasurementError.NEXT_STEPS | EvidenceClaimsError.NEXT_STEPS
    assert steps[code].startswith("Send nothing. ")
    assert " only " in steps[code]
    assert "then update" not in steps[code]
