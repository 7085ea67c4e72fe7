"""Converts a float32 graph to one whose layers compute with 8-bit integers.

Uses ONNX Runtime's static quantisation in the QDQ form: pairs of QuantizeLinear and DequantizeLinear around standard
operators, which ONNX Runtime fuses into integer kernels and any other runtime can execute. Weights are symmetric with
one scale for each output channel. Activations have one scale and zero point for each tensor, from their range on the
calibration images. Sensitive layers are determined by measurement and stay in float32 (`quantise`).
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from model_build.agreement import share_of_best
from model_build.contract import Classifier, batches
from model_build.errors import ContractError
from model_build.optimise import optimise, strip_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from model_build.contract import Tensor
    from model_build.general import Facts, Input
    from model_build.precision import Activations
    from model_build.session import Array

LAYERS: Final = ("Conv", "Gemm", "MatMul")
"""The operators that take most of the time. Each such layer can stay in float32."""

_BETWEEN: Final = (
    "Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "MaxPool", "Relu", "Reshape", "Squeeze",
    "Transpose", "Unsqueeze",
)  # fmt: skip
"""Operators whose results on integers are as exact. They are quantised so that values between layers remain
integers. Others, such as softmax, normalisation and sigmoids, stay in float32: their errors are large and their time
is small."""

_WANTED: Final = 0.995
"""Share of the calibration images with float32's best class from which no further layer is changed to float32."""

_TRIED_ON: Final = 8
"""Number of calibration images on which each layer is quantised alone."""

_MOST_FLOAT: Final = 0.25
"""Largest share of the layers that may stay in float32."""

_TYPES: Final = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Supplies batches to onnxruntime's calibration."""

    def __init__(self, calibrating: Sequence[Array], given: Input) -> None:
        self._name = given.name
        self._left = (batch for tensors in calibrating for batch in batches(tensors, given))

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self._left, None)
        return None if batch is None else {self._name: batch}


def quantise(
    source: Path,
    target: Path,
    facts: Facts,
    calibrating: Sequence[Array],
    *,
    activations: Activations,
    say: Callable[[str], None],
) -> tuple[str, ...]:
    """Write the int8 graph of the float32 graph `source` to `target`. Returns the names of layers in float32.

    Both graphs have the same `facts`. `calibrating` are batches (n, ...). If the graph with all layers in int8 has
    another best class than float32 on more than 0.5 % of these images, each layer is quantised alone. Those that change
    the logits most then stay in float32: one, two, four and so on, until the classes agree or a quarter of the layers
    is in float32. In the latter case the graph whose logits change least is written. `say` gets one line for each step.
    Raises `ContractError`.
    """
    with tempfile.TemporaryDirectory() as name:
        search = _Search(source, Path(name), facts, calibrating, activations)
        kept: tuple[str, ...] = ()
        same, change = search.compare(kept)
        say(f"All of {len(search.layers)} layers in int8: same best class on {same:.1%} of the calibration images")
        if same < _WANTED:
            say("Trying each layer alone")
            order = search.most_fragile()
            least, count = change, 1
            while same < _WANTED and count <= _MOST_FLOAT * len(order):
                same, change = search.compare(tuple(order[:count]))
                say(f"{count} in float32: {same:.1%}")
                if same >= _WANTED or change < least:
                    least, kept = change, tuple(order[:count])
                count *= 2
        search.write(target, kept)
        model = onnx.load(target)
        strip_metadata(model)
        model.ClearField("producer_name")
        target.write_bytes(model.SerializeToString(deterministic=True))
        return tuple(layer for layer in search.layers if layer in kept)


class _Search:
    """One float32 graph, its calibration images, and int8 graphs of it with some layers in float32."""

    def __init__(
        self, source: Path, folder: Path, facts: Facts, calibrating: Sequence[Array], activations: Activations
    ) -> None:
        self._float, self._ranges, self._trial = folder / "float.onnx", folder / "ranges.json", folder / "int8.onnx"
        self._facts = facts
        try:
            optimise(source, self._float, fold_integers=True)
        except ContractError as error:
            raise ContractError(f"{source.name} cannot be quantised: {error}", "serve float32") from error
        self.layers = _named_layers(self._float)
        self._calibrating = calibrating
        self._activations = activations
        self._expected = self._logits(self._float, calibrating)

    def compare(self, kept: tuple[str, ...]) -> tuple[float, float]:
        """Run the graph with the layers `kept` in float32 on the calibration images.

        Returns the share of images with float32's best class, and the mean change of a logit, relative to the range of
        its image's logits.
        """
        self.write(self._trial, kept)
        found = self._logits(self._trial, self._calibrating)
        return share_of_best(self._expected, found, 1), _mean_change(self._expected, found)

    def most_fragile(self) -> list[str]:
        """The layers, sorted by the change of the logits when only that layer is quantised, largest first."""
        few = [self._calibrating[0][:_TRIED_ON]]
        expected = self._expected[: len(few[0])]
        changes = {}
        for layer in self.layers:
            self.write(self._trial, tuple(other for other in self.layers if other != layer))
            changes[layer] = _mean_change(expected, self._logits(self._trial, few))
        return sorted(changes, key=lambda layer: -changes[layer])

    def write(self, target: Path, kept: tuple[str, ...]) -> None:
        """Write the int8 graph with the layers `kept` in float32. Raises `ContractError`."""
        with _quiet():
            try:
                quantize_static(
                    self._float,
                    target,
                    _Reader(self._calibrating, self._facts.input),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=_TYPES[self._activations],
                    weight_type=QuantType.QInt8,
                    op_types_to_quantize=[*LAYERS, *_BETWEEN],
                    nodes_to_exclude=list(kept),
                    # Logits, and what goes into softmax or a normalisation, stay as precise as the sums are.
                    extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
                    calibration_cache_path=self._ranges,
                )
            except Exception as error:  # onnxruntime's and onnx's errors share no base class
                raise ContractError(
                    f"{self._float.name} cannot be quantised: {' '.join(str(error).split())[:300]}", "serve float32"
                ) from error

    def _logits(self, path: Path, tensors: Sequence[Array]) -> Tensor:
        # Exact, so that the choice of layers does not depend on the processor.
        classifier = Classifier(path, self._facts, threads=1, exact=True)
        return np.concatenate([classifier.values(each) for each in tensors])


def _mean_change(expected: Tensor, found: Tensor) -> float:
    return float((np.abs(found - expected) / np.ptp(expected, axis=1, keepdims=True)).mean())


def _named_layers(path: Path) -> tuple[str, ...]:
    """Give every operator a unique name, and return the names of layers. Raises `ContractError`."""
    model = onnx.load(path)
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}"
        taken.add(node.name)
    path.write_bytes(model.SerializeToString(deterministic=True))
    layers = tuple(node.name for node in model.graph.node if node.op_type in LAYERS)
    if not layers:
        raise ContractError("the graph has no convolution and no matrix product to quantise", "serve float32")
    return layers


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress onnxruntime's advice to prepare the graph, which `optimise` has done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
