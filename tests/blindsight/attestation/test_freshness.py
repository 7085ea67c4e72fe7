"""What is said of evidence that is too old, or from the future: never that it is as old as is accepted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from blindsight.attestation import proof
from blindsight.errors import EvidenceFreshnessError

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def refused(milliseconds: int, limit: int) -> str:
    """Of a document that was made so long before now."""
    with pytest.raises(EvidenceFreshnessError) as caught:
        proof.check_age(NOW - timedelta(milliseconds=milliseconds), NOW, max_age=limit, max_future_skew=60)
    return str(caught.value)


@pytest.mark.parametrize(("milliseconds", "limit", "age"), [(1, 0, 1), (400, 0, 1), (300_400, 300, 301), (1000, 0, 1)])
def test_an_age_that_is_too_much_is_more_than_what_is_accepted(milliseconds: int, limit: int, age: int) -> None:
    assert refused(milliseconds, limit) == f"The document is {age} s old; {limit} s are accepted."


def test_a_time_in_the_future_is_more_than_what_is_accepted() -> None:
    assert refused(-60_400, 300) == "The document was made 61 s in the future."
