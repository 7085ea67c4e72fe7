"""Converts the model's output values to scores, ranks and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from photo_classifier.problems import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from photo_classifier.contract import Output

Prediction = dict[str, Any]
"""`{"rank": from 1, "class_id": int, "label": str, "score": 0..1}`."""

Scores = npt.NDArray[np.float64]

_ROUNDING = 1e-3
"""Tolerance for scores of a graph outside of 0..1: half a unit of float16 near 1."""


def softmax(logits: npt.NDArray[np.float32]) -> Scores:
    """Scores 0..1, float64 (N, classes), of finite `logits` (N, classes): each row sums to 1."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def sigmoid(logits: npt.NDArray[np.float32]) -> Scores:
    """Scores 0..1, float64 (N, classes), of finite `logits` (N, classes); classes are independent."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits.astype(np.float64))))


def as_they_are(values: npt.NDArray[np.float32]) -> Scores:
    """Scores, float64 (N, classes), that the graph computed. Raises `ModelError` for values outside of 0..1."""
    if values.min() < -_ROUNDING or values.max() > 1 + _ROUNDING:
        raise ModelError("the model's scores are not between 0 and 1, although model.json says that it computes them")
    return values.astype(np.float64).clip(0.0, 1.0)


_ACTIVATIONS: Final[dict[str, Callable[[npt.NDArray[np.float32]], Scores]]] = {"softmax": softmax, "sigmoid": sigmoid}


def rank(
    values: npt.NDArray[np.float32], labels: Sequence[str], top_k: int, output: Output | None = None
) -> list[Prediction]:
    """The `top_k` best classes of one image's `values` (classes,), best first; equal ones in the order of their ids.

    `output` describes the values; by default they are logits for softmax. The first `output.offset` values have no
    label. They are part of a softmax, but of no answer; `class_id` 0 is the class of the first label. Raises
    `ModelError`.
    """
    activation, offset = _ACTIVATIONS["softmax"], 0
    if output is not None:
        activation, offset = as_they_are if output.in_graph else _ACTIVATIONS[output.activation], output.offset
    scores = activation(values[np.newaxis])[0, offset:]
    best = np.argsort(-values[offset:], kind="stable")[:top_k]
    return [
        {"rank": place, "class_id": int(index), "label": labels[index], "score": float(scores[index])}
        for place, index in enumerate(best, start=1)
    ]


def by_class(predictions: Sequence[Prediction]) -> dict[str, float]:
    """The form of Cape's example, `{class: score}`, in descending order.

    Two ImageNet classes are called "crane" (134, 517) and two "maillot" (638, 639). If both are among `predictions`,
    the one with the lower score gets its class id, as in "crane (517)".
    """
    scores: dict[str, float] = {}
    for prediction in predictions:
        name = prediction["label"]
        while name in scores:
            name = f"{name} ({prediction['class_id']})"
        scores[name] = prediction["score"]
    return scores
