"""How often the exported graph is right: JPEG files through the product's preprocessing and ONNX Runtime."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from model_build.offline.data import PREPROCESSING, Pixels, crops

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from model_build.contract import Classifier, Tensor

_BATCH = 50


@dataclass(frozen=True)
class Evaluation:
    """`confusion[i][j]`: how many pictures of class i were taken for class j."""

    confusion: tuple[tuple[int, ...], ...]

    @property
    def pictures(self) -> int:
        return sum(map(sum, self.confusion))

    @property
    def accuracy(self) -> float:
        return sum(row[i] for i, row in enumerate(self.confusion)) / self.pictures

    @property
    def class_accuracies(self) -> tuple[float, ...]:
        """Of the pictures of each class, the part that was recognised."""
        return tuple(row[i] / sum(row) for i, row in enumerate(self.confusion))


def evaluate(classifier: Classifier, archive: Path, classes: tuple[str, ...]) -> Evaluation:
    """Classify every test picture of `archive`. Raises `DataError` and `ContractError`."""
    return evaluate_crops(classifier, crops(archive, "test", classes))


def evaluate_crops(classifier: Classifier, pictures: Iterable[tuple[Pixels, int]]) -> Evaluation:
    """Classify pictures given as (224, 224, 3) crops with their class numbers."""
    confusion = np.zeros((classifier.classes, classifier.classes), dtype=np.int64)
    remaining = iter(pictures)
    while batch := list(itertools.islice(remaining, _BATCH)):
        logits = classifier.logits(normalise(np.stack([pixels for pixels, _ in batch])))
        for (_, label), best in zip(batch, logits.argmax(axis=1), strict=True):
            confusion[label, best] += 1
    return Evaluation(tuple(tuple(int(count) for count in row) for row in confusion))


def normalise(pixels: Pixels) -> Tensor:
    """Turn pixels (n, 224, 224, 3) into the graph's input (n, 3, 224, 224) as the product does."""
    mean, std = (np.array(values, dtype=np.float32) for values in (PREPROCESSING.mean, PREPROCESSING.std))
    normalised: npt.NDArray[np.float32] = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))
