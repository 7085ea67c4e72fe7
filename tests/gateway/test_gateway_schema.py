"""schemathesis against the running service: no answer that the OpenAPI page does not document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

if TYPE_CHECKING:
    from tests.support.stack import Stack

PATHS = {
    "/classify", "/classify/batch", "/attestation", "/livez", "/readyz", "/info", "/v2/health/live", "/v2/health/ready",
}  # fmt: skip


def test_every_answer_is_documented(tiny_stack: Stack) -> None:
    schema = schemathesis.openapi.from_url(f"{tiny_stack.gateway.url}/openapi.json")
    tried = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        tried.add(operation.path)

        @given(case=operation.as_strategy())
        @settings(
            max_examples=40,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        def answers_are_documented(case: schemathesis.Case) -> None:
            # A body that its schema allows is still seldom an image: refusals are right answers here, so the check
            # that well-formed input is accepted does not apply.
            case.call_and_validate(excluded_checks=[schemathesis.checks.positive_data_acceptance])

        answers_are_documented()
    assert tried == PATHS
