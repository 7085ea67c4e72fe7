"""The comparison of two graphs' logits."""

from __future__ import annotations

import numpy as np
import pytest

from model_build import agreement
from model_build.errors import ModelBuildError


class Fixed:
    """A classifier of these values, in batches of two."""

    def __init__(self, rows):
        self._rows = np.array(rows, dtype=np.float32).reshape(-1, 2, 3)

    def values(self, batch):
        return self._rows[int(batch[0])]


class Counted:
    set = "given"

    def others(self, _calibrating):
        return np.arange(2)[:, None]


GOOD = [[0, 1, 2], [2, 1, 0], [0, 2, 1], [1, 0, 2]]


@pytest.mark.parametrize("bad", [[0, 1, np.nan], [0, 1, np.inf], [1, 1, 1]], ids=["NaN", "infinite", "all equal"])
@pytest.mark.parametrize("graph", ["float32", "int8"])
def test_an_image_without_comparable_logits_is_named_as_the_reason(bad, graph):
    """Its difference is no number, which a manifest cannot state."""
    rows = {"float32": [*GOOD[:3], bad], "int8": GOOD}
    if graph == "int8":
        rows = {"float32": GOOD, "int8": [*GOOD[:3], bad]}
    if graph == "int8" and bad == [1, 1, 1]:
        assert agreement.measure(Fixed(rows["float32"]), Fixed(rows["int8"]), Counted()).logits == 0.5
        return
    with pytest.raises(ModelBuildError, match="on 1 of 4 given images"):
        agreement.measure(Fixed(rows["float32"]), Fixed(rows["int8"]), Counted())
