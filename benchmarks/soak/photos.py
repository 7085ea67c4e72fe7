"""The photos of a soak, with the answers that the function itself gives for them, and bodies that are refused."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from benchmarks import processes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SCORE_TOLERANCE = 1e-5
"""Scores of one photo differ by the order in which threads add."""


class WrongAnswer(Exception):
    """An answer that differs from the function's own; the message does not quote it."""


@dataclass(frozen=True)
class Photo:
    """An encoded photo, and what the function answers: the score of each class, and the upright size in pixels."""

    name: str
    content: bytes
    scores: dict[int, float]
    image: dict[str, int]

    def check(self, answer: dict[str, Any]) -> None:
        """Raise `WrongAnswer` unless `answer` has the best classes of this photo with their scores.

        Classes whose scores are equal within the tolerance may change places.
        """
        predictions = answer["predictions"]
        best = sorted(self.scores.values(), reverse=True)
        for prediction, expected in zip(predictions, best, strict=False):
            own = self.scores.get(prediction["class_id"], -1.0)
            if max(abs(prediction["score"] - own), abs(prediction["score"] - expected)) > _SCORE_TOLERANCE:
                raise WrongAnswer(f"{self.name}: another class or score at rank {prediction['rank']}")
        if len({prediction["class_id"] for prediction in predictions}) != len(predictions):
            raise WrongAnswer(f"{self.name}: a class comes twice")
        if answer["image"] != self.image:
            raise WrongAnswer(f"{self.name}: another size")


@dataclass(frozen=True)
class Refused:
    """A body that is refused, and the code of its problem."""

    content: bytes
    code: str


def answered(model: Path, files: Sequence[Path]) -> list[Photo]:
    """The photos in `files` with the answers of the model directory's function, run in a process of its own without
    enclave and gateway. Raises `StackError`.
    """
    lines = processes.run("enclave_function", "answers", "--model", str(model), *map(str, files)).splitlines()
    photos = []
    for path, line in zip(files, lines, strict=True):
        answer = json.loads(line)
        scores = {each["class_id"]: each["score"] for each in answer["predictions"]}
        photos.append(Photo(path.name, path.read_bytes(), scores, answer["image"]))
    return photos


def refused(photo: bytes) -> list[Refused]:
    """A body for each kind of refusal that costs the enclave something."""
    too_large = io.BytesIO()
    Image.new("1", (8200, 8200)).save(too_large, "PNG")
    return [
        Refused(b"This is not an image. " * 50, "not_an_image"),
        Refused(photo[: len(photo) // 2], "truncated_image"),
        Refused(too_large.getvalue(), "too_many_pixels"),
        Refused(b"GIF89a" + bytes(1000), "unsupported_media_type"),
    ]
