"""Images with known answers: checks that the model, as it will be served, gives them.

The deployed function classifies the images in a separate process (`python -m enclave_function answers`), so the check
covers decoding, preprocessing and labels as well as the graph.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from model_build import function
from model_build.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model_build.manifest import AnyManifest

_LIKELY: Final = 0.5
"""The score from which a class of a multi-label model counts as an answer."""


@dataclass(frozen=True)
class Expected:
    """An image file, and the label or the number (from 0) of its class."""

    image: Path
    label: str

    @classmethod
    def parse(cls, text: str) -> Expected:
        """Parse `IMAGE=LABEL`. Raises `ValueError`."""
        image, separator, label = text.rpartition("=")
        if not separator or not image or not label.strip():
            raise ValueError("an image and its answer: IMAGE=LABEL")
        return cls(Path(image), label.strip())


def check(directory: Path, model: AnyManifest, expected: Sequence[Expected], say: Callable[[str], None]) -> None:
    """Classify the images of `expected` with the model in `directory`; `say` gets one line for each right answer.

    Right is the best class or, for a multi-label model, a class with a score of at least 0.5. Raises `ContractError`
    for a wrong answer or an unknown class, `ModelBuildError` for a file that cannot be decoded.
    """
    if not expected:
        return
    several = model.facts.output.activation == "sigmoid"
    wrong = []
    for each, answer in zip(expected, _answers(directory, [each.image for each in expected]), strict=True):
        best = answer[0]
        fitting = [found for found in answer if each.label in {found["label"], str(found["class_id"])}]
        if not fitting:
            raise ContractError(f"the model has no class {each.label!r}", "give a label of it, or a number from 0")
        score = max(found["score"] for found in fitting)
        right = score >= _LIKELY if several else best in fitting
        said = f"{each.image}: {best['label']} ({best['score']:.1%})"
        if several and best not in fitting:
            said += f", {each.label} ({score:.1%})"
        if right:
            say(f"Checked: {said}")
        else:
            wrong.append(f"{said}, not {each.label}")
    if wrong:
        raise ContractError(
            f"{len(wrong)} of {len(expected)} answers do not come out: {'; '.join(wrong)}",
            "what cannot be seen in a graph is wrong, and `model build --normalisation NAME --channels BGR --resize N`"
            " says it; see docs/models.md",
        )


def _answers(directory: Path, images: Sequence[Path]) -> list[list[dict[str, Any]]]:
    """All classes of each image, best first."""
    with function.output("answers", "--model", str(directory), *map(str, images)) as lines:
        return [json.loads(line)["predictions"] for line in lines]
