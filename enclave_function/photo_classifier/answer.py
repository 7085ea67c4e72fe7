"""Logits to scores, ranks and names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

Prediction = dict[str, Any]
"""`{"rank": from 1, "class_id": int, "label": str, "score": 0..1}`."""


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Scores 0..1, float64 (N, classes), of finite `logits` (N, classes)."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def rank(logits: npt.NDArray[np.float32], labels: Sequence[str], top_k: int) -> list[Prediction]:
    """The `top_k` best classes of one image's `logits` (classes,), best first; equal ones in the order of their ids."""
    scores = softmax(logits[np.newaxis])[0]
    best = np.argsort(-logits, kind="stable")[:top_k]
    return [
        {"rank": place, "class_id": int(index), "label": labels[index], "score": float(scores[index])}
        for place, index in enumerate(best, start=1)
    ]


def by_class(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Cape's example form, `{class: score}` in descending order.

    Two ImageNet classes are called "crane" (134, 517) and two "maillot" (638, 639). When both are among `predictions`,
    the better one keeps the plain name and the other's has its class id behind it, as in "crane (517)".
    """
    scores: dict[str, float] = {}
    for prediction in predictions:
        name = prediction["label"]
        while name in scores:
            name = f"{name} ({prediction['class_id']})"
        scores[name] = prediction["score"]
    return scores
