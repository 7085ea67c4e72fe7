"""What clients, commands and the runtime read from a manifest about its answers."""

from __future__ import annotations

import pytest

from blindsight import answers


@pytest.mark.parametrize(
    ("manifest", "precision"),
    [
        ({}, "float32"),
        ({"precision": {"name": "int8", "of": "00"}}, "int8"),
        *[({"precision": stated}, "unknown") for stated in (None, "int8", {}, {"name": 8}, ["int8"])],
    ],
    ids=repr,
)
def test_the_precision_is_the_manifests_and_float32_without_one(manifest, precision):
    assert answers.precision(manifest) == precision


@pytest.mark.parametrize(
    ("output", "several"),
    [({"activation": "sigmoid"}, True), ({"activation": "softmax"}, False), ({}, False), ("sigmoid", False)],
    ids=repr,
)
def test_a_model_is_multi_label_by_its_activation(output, several):
    assert answers.is_multi_label({"output": output}) is several
    assert answers.is_multi_label({}) is False
