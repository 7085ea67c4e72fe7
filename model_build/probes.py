"""Test inputs for a graph, and properties of its output values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from model_build.general import Facts, Input

Array = npt.NDArray[Any]

_ROUNDING = 1e-3
"""Tolerance for sums of probabilities, and for scores outside of 0..1."""


def pictures(facts: Facts, count: int) -> Array:
    """`count` pictures of noise with different tints, preprocessed as in `facts`, in the shape and type of its
    input.
    """
    generator = np.random.default_rng(0)
    levels = generator.integers(0, 256, (count, *facts.input.size, 3)) // 2
    levels += generator.integers(0, 128, (count, 1, 1, 3))
    taken = facts.preprocessing
    values = (levels * taken.scale - np.array(taken.mean)) / np.array(taken.std)
    return _arranged(values, facts.input)


def noise(given: Input, count: int, seed: int = 0) -> Array:
    """`count` inputs without a known normalisation: grey levels for uint8, otherwise numbers around 0."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((count, *given.size, 3)) + generator.standard_normal((count, 1, 1, 3))
    return _arranged(np.clip(128 + 40 * values, 0, 255) if given.dtype == "uint8" else values, given)


def _arranged(values: Array, given: Input) -> Array:
    """Values (N, H, W, 3) in the layout and number type of the input."""
    arranged = values if given.layout == "NHWC" else values.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(arranged, dtype=np.dtype(given.dtype))


def are_scores(values: Array) -> bool:
    """Whether all `values` are in 0..1."""
    return bool(values.min() >= -_ROUNDING and values.max() <= 1 + _ROUNDING)


def are_probabilities(values: Array) -> bool:
    """Whether each row of `values` (N, K) sums to 1."""
    sums = values.astype(np.float64).sum(axis=1)
    # K values of float16 round their sum by up to K / 4096.
    tolerance = _ROUNDING if values.dtype != np.float16 else _ROUNDING + values.shape[1] / 4096
    return bool(values.min() >= -_ROUNDING and np.abs(sums - 1).max() < tolerance)
