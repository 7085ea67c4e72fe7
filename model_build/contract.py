"""The contract of a classifier, checked by running it. Needs only onnxruntime and numpy.

By default it is ResNet50's: `input` (N, 3, 224, 224) float32 to `output` (N, K) float32 logits, for any N.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from model_build import general, probes
from model_build.errors import ContractError
from model_build.general import Facts
from model_build.session import RunError, Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from model_build.session import Array

Tensor = npt.NDArray[np.float32]

INPUT, OUTPUT = "input", "output"
IMAGE_SHAPE = (3, 224, 224)

TOLERANCE = 1e-4
"""Largest accepted difference between two computations of the same logits, relative to the range of those logits.
float32 kernels that add in another order differ by about 1e-6."""

_HALF_TOLERANCE = 2e-2
"""The same for float16, which has 11 significant bits."""

_BATCH = 5

_DTYPES: Final = {"float32": "tensor(float)", "float16": "tensor(float16)", "uint8": "tensor(uint8)"}


class Classifier:
    """An ONNX file in onnxruntime, with names and types as in `facts`. `classes` is K.

    `threads` and `exact`: see `Session`.
    """

    def __init__(self, path: Path, facts: Facts | None = None, *, threads: int = 0, exact: bool = False) -> None:
        """Without `facts` the contract is ResNet50's. Raises `ContractError`."""
        self._session = Session(path, threads=threads, exact=exact)
        self.name = path.name
        self.facts = facts or replace(RESNET50, output=general.softmax_of_logits(OUTPUT, self._declared_classes()))
        self.classes = self.facts.output.classes
        self._check_signature()

    def logits(self, batch: Array) -> Tensor:
        """The output (N, K) in float32 for a `batch` in the shape and number type of the input.

        Raises `ContractError` if the graph does not run or breaks the contract.
        """
        facts = self.facts
        try:
            (output,) = self._session.run([facts.output.name], (facts.input.name, batch))
        except RunError as error:
            raise self.refused(f"a batch of {len(batch)} does not run: {error}", _ALONE) from error
        if len(output) != len(batch) or output.ndim < 2 or output.size != len(batch) * output.shape[1]:
            raise self.refused(f"a batch of {len(batch)} gives an output of shape {output.shape}", _ALONE)
        if output.shape[1] != self.classes:
            raise self.refused(f"the number of classes is {output.shape[1]}, not {self.classes}")
        if output.dtype.name != facts.output.dtype:
            raise self.refused(f"`{facts.output.name}` is {output.dtype.name}, not {facts.output.dtype}")
        return output.reshape(len(batch), self.classes).astype(np.float32, copy=False)

    def values(self, tensors: Array) -> Tensor:
        """As `logits`, for any number of inputs (N, ...), in batches of the size that the graph requires."""
        return np.concatenate([self.logits(batch) for batch in batches(tensors, self.facts.input)])[: len(tensors)]

    @property
    def fixed(self) -> bool:
        """Whether the graph itself fixes the batch size."""
        return isinstance(self._session.inputs[0].shape[0], int)

    def _declared_classes(self) -> int:
        """K of a graph with ResNet50's contract. Raises `ContractError`."""
        self._check_names(INPUT, OUTPUT)
        shape = next(node.shape for node in self._session.outputs if node.name == OUTPUT)
        if len(shape) != 2 or not isinstance(shape[1], int) or shape[1] < 2:
            raise self.refused(f"`{OUTPUT}` has shape {shape}, not (N, number of classes)")
        return int(shape[1])

    def _check_names(self, given: str, output: str) -> None:
        """Further outputs are permitted; they are not used."""
        inputs, outputs = self._session.inputs, self._session.outputs
        if [node.name for node in inputs] != [given] or output not in {node.name for node in outputs}:
            raise self.refused(f"it maps {names(inputs)} to {names(outputs)}, not `{given}` to `{output}`")

    def _check_signature(self) -> None:
        wanted = self.facts.input
        self._check_names(wanted.name, self.facts.output.name)
        (node,) = self._session.inputs
        if node.type != _DTYPES[wanted.dtype]:
            raise self.refused(f"`{node.name}` is {node.type}, not {wanted.dtype}")
        shape = ("N" if wanted.batch == "free" else wanted.batch, *wanted.shape(1)[1:])
        if wanted.batch == "free" and isinstance(node.shape[0], int):
            raise self.refused(f"the batch axis of `{node.name}` {node.shape} is not free")
        if len(node.shape) != 4 or any(isinstance(a, int) and a != b for a, b in zip(node.shape, shape, strict=True)):
            raise self.refused(f"`{node.name}` has shape {node.shape}, not {shape}")

    def refused(self, reason: str, step: str = "") -> ContractError:
        """The error for a model that breaks the contract by `reason`; `step` is what the user can do."""
        return ContractError(f"{self.name} breaks the model contract: {reason}", step or "see docs/models.md")


_ALONE = "if it takes one picture at a time, say so with `model build --batch 1`; see docs/models.md"

RESNET50: Final = Facts(
    general.Input(name=INPUT, layout="NCHW", size=(224, 224), batch="free", dtype="float32"),
    general.Preprocessing(
        resize=232,
        crop=(224, 224),
        interpolation="bilinear",
        scale=general.OF_255,
        mean=general.MEAN,
        std=general.STD,
        channels="RGB",
    ),
    general.softmax_of_logits(OUTPUT, 1000),
)


def check_contract(path: Path, facts: Facts | None = None) -> Classifier:
    """Run the ONNX file at `path` on synthetic pictures, and return it if it meets the contract of `facts`.

    Checks names, types, shapes, finite and different values, independence of the images of a batch, and scores or
    logits. Raises `ContractError`.
    """
    classifier = Classifier(path, facts)
    facts = classifier.facts
    count = _BATCH if facts.input.batch == "free" else facts.input.batch
    batch = probes.pictures(facts, count)
    together = classifier.logits(batch)
    if not np.isfinite(together).all():
        raise classifier.refused("its output is not finite")
    if together.size > 1 and np.ptp(together, axis=_spread_axis(together)).min() == 0:
        raise classifier.refused("all its logits are equal")
    _check_independence(classifier, batch, together)
    _check_activation(classifier, together)
    return classifier


def _check_independence(classifier: Classifier, batch: Array, together: Tensor) -> None:
    """Compare the logits of the images of `batch` with those that they have with other neighbours and in other places.

    `together` are the logits of `batch`. A fixed batch is also run as the function fills it: one image, and zeros.
    """
    facts, count = classifier.facts, len(batch)
    if count == 1:
        return
    size = 1 if facts.input.batch == "free" else count
    expected = [together[::-1], np.repeat(together[:1], count, axis=0)]
    found = [classifier.logits(each) for each in (batch[::-1].copy(), np.repeat(batch[:1], count, axis=0))]
    filled = np.zeros((size, *batch.shape[1:]), dtype=batch.dtype)
    for index in np.unique(np.linspace(0, count - 1, _BATCH).round().astype(int)):
        filled[0] = batch[index]
        expected.append(together[index : index + 1])
        found.append(classifier.logits(filled)[:1])
    tolerance = _HALF_TOLERANCE if "float16" in {facts.input.dtype, facts.output.dtype} else TOLERANCE
    if relative_difference(np.concatenate(expected), np.concatenate(found)) > tolerance:
        step = "export it for one picture at a time" if classifier.fixed else _ALONE
        raise classifier.refused("the answer for one picture depends on the others in its batch, or on its place", step)


def _check_activation(classifier: Classifier, values: Tensor) -> None:
    output = classifier.facts.output
    if output.applied_by == "graph" and not probes.are_scores(values):
        raise classifier.refused(
            f"its values go from {values.min():.3g} to {values.max():.3g}: they are no scores of 0 to 1",
            "say that the service computes them, with `model build --applied-by function`",
        )
    if output.applied_by == "function" and output.classes > 1 and probes.are_probabilities(values):
        raise classifier.refused(
            "its output is probabilities, not logits: the service would apply softmax to them again",
            "say that the graph computes them, with `model build --applied-by graph`",
        )


def batches(tensors: Array, given: general.Input) -> Iterator[Array]:
    """Split `tensors` (N, ...) into batches for a graph with the input `given`.

    One batch of N, or batches of the fixed size. The last of these is filled with the first tensors, so that ranges
    over all batches equal those over `tensors`.
    """
    size = len(tensors) if given.batch == "free" else given.batch
    for start in range(0, len(tensors), size):
        yield tensors[np.arange(start, start + size) % len(tensors)]


def relative_difference(reference: Tensor, found: Tensor) -> float:
    """The largest difference of a logit between two (N, K), relative to the range of its image's `reference`.

    For one class, relative to the range over all images. NaN counts as infinity.
    """
    difference = np.abs(reference.astype(np.float64) - found) / np.ptp(
        reference.astype(np.float64), axis=_spread_axis(reference), keepdims=True
    )
    return float(np.nan_to_num(difference, nan=np.inf).max())


def _spread_axis(values: Tensor) -> int:
    return 1 if values.shape[1] > 1 else 0


def names(nodes: Iterable[Any]) -> str:
    """Names of inputs or outputs for a message."""
    return ", ".join(f"`{node.name}`" for node in nodes)
