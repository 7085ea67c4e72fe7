"""The conversation that clients and gateways have with an enclave, without either's transport."""

from __future__ import annotations

import pytest

from blindsight.exchange import default_top_k


@pytest.mark.parametrize(("classes", "expected"), [(1, 1), (4, 4), (5, 5), (1000, 5)])
def test_the_default_is_five_classes_or_all_there_are(classes: int, expected: int):
    assert default_top_k(classes) == expected
