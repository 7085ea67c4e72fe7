"""The contract that every classifier meets, checked by running it.

`input` (N, 3, 224, 224) float32 to `output` (N, K) float32 logits, N free. Needs onnxruntime and numpy only.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import onnxruntime

from model_build import lfs
from model_build.errors import ContractError

if TYPE_CHECKING:
    from pathlib import Path

Tensor = npt.NDArray[np.float32]

INPUT, OUTPUT = "input", "output"

KEEPS_NO_FLOATS = "WeightBiasQuantization"
"""The optimisation of onnxruntime that turns float weights between integer layers into integers, unasked."""
IMAGE_SHAPE = (3, 224, 224)

TOLERANCE = 1e-4
"""Largest accepted difference of two computations of the same logits, in parts of those logits' range. float32 kernels
that sum in another order differ by about 1e-6."""

_BATCH = 5
_PROBABILITY_ERROR = 1e-3
"""Rows of an output whose sums are this close to 1 are probabilities."""

_REASON_CHARACTERS = 300
_STATUS = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_SOURCE_LINE = re.compile(r"\S+\.(?:cc|h):\d+ (?:(?:[\w:<>&*]+ )?[\w:<>~]+\((?:[^()]|\([^()]*\))*\)(?: const)?|\w+) ")
"""A line of ONNX Runtime's source and the signature, or the name, of the function there."""


class Classifier:
    """An ONNX file in onnxruntime, with the contract's names and types checked. `classes` is K.

    It runs on `threads` threads; 0 means as many as there are processors. With `exact`, products of bytes are exact on
    any processor, and slow; x86-64 processors without VNNI cut off large sums otherwise.
    """

    def __init__(self, path: Path, *, threads: int = 0, exact: bool = False) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        if exact:
            options.add_session_config_entry("session.x64quantprecision", "1")
        # Threads that wait busily take the time of the others on a machine that builds something else at once.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # onnxruntime's own lines on stderr would say it a second time.
        # As the deployed function loads it: the graph's bytes, and no further files with weights.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        graph = path.read_bytes()
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=[KEEPS_NO_FLOATS]
            )
        except Exception as error:  # onnxruntime's errors share no base class
            raise _not_loaded(path.name, graph, error) from error
        self.name = path.name
        self.classes = self._check_signature()

    def logits(self, batch: Tensor) -> Tensor:
        """Logits (N, K) of a batch (N, 3, 224, 224). Raises `ContractError` if the model cannot run it."""
        try:
            (output,) = self._session.run([OUTPUT], {INPUT: batch})
        except Exception as error:  # As above.
            raise self.refused(f"a batch of {len(batch)} does not run: {_said(error)}") from error
        if output.shape != (len(batch), self.classes):
            raise self.refused(f"a batch of {len(batch)} gives an output of shape {output.shape}")
        return cast("Tensor", output)

    def _check_signature(self) -> int:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [node.name for node in inputs] != [INPUT] or [node.name for node in outputs] != [OUTPUT]:
            raise self.refused(
                f"it maps {_names(inputs)} to {_names(outputs)}, not `{INPUT}` to `{OUTPUT}`",
            )
        for node in (*inputs, *outputs):
            if node.type != "tensor(float)":
                raise self.refused(f"`{node.name}` is {node.type}, not float32")
            if not node.shape or isinstance(node.shape[0], int):
                raise self.refused(f"the batch axis of `{node.name}` {node.shape} is not free")
        if tuple(inputs[0].shape[1:]) != IMAGE_SHAPE:
            raise self.refused(f"`{INPUT}` has shape {inputs[0].shape}, not (N, 3, 224, 224)")
        shape = outputs[0].shape
        if len(shape) != 2 or not isinstance(shape[1], int) or shape[1] < 2:
            raise self.refused(f"`{OUTPUT}` has shape {shape}, not (N, number of classes)")
        return int(shape[1])

    def refused(self, reason: str) -> ContractError:
        """The error for a model that breaks the contract by `reason`."""
        return ContractError(
            f"{self.name} breaks the model contract: {reason}", "export it as docs/architecture.md says"
        )


def check_contract(path: Path) -> Classifier:
    """Run the ONNX file at `path` and return it if it keeps the contract. Raises `ContractError`."""
    classifier = Classifier(path)
    batch = np.random.default_rng(0).standard_normal((_BATCH, *IMAGE_SHAPE), dtype=np.float32)
    together = classifier.logits(batch)
    if not np.isfinite(together).all():
        raise classifier.refused("its output is not finite")
    if np.ptp(together, axis=1).min() == 0:
        raise classifier.refused("all its logits are equal")
    if together.min() >= 0 and np.abs(together.sum(axis=1) - 1).max() < _PROBABILITY_ERROR:
        raise classifier.refused("its output is probabilities, not logits: the service applies softmax itself")
    apart = np.concatenate([classifier.logits(batch[i : i + 1]) for i in range(_BATCH)])
    if relative_difference(together, apart) > TOLERANCE:
        raise classifier.refused("the answer for one picture depends on the others in its batch")
    return classifier


def relative_difference(reference: Tensor, found: Tensor) -> float:
    """The largest difference of a logit, in parts of the range of its picture's logits in `reference`; inf for NaN."""
    difference = np.abs(reference.astype(np.float64) - found) / np.ptp(
        reference.astype(np.float64), axis=1, keepdims=True
    )
    return float(np.nan_to_num(difference, nan=np.inf).max())


def _said(error: Exception) -> str:
    """What an error of ONNX Runtime says, in one line, without the place in its source."""
    text = _SOURCE_LINE.sub("", _STATUS.sub("", str(error))).replace(f"{os.devnull}/", "")
    line = " ".join(text.split()).removesuffix(".")
    return "".join(character for character in line if character.isprintable())[:_REASON_CHARACTERS]


def _not_loaded(name: str, graph: bytes, error: Exception) -> ContractError:
    said = _said(error)
    why, step = "", "give a complete ONNX model"
    if lfs.is_pointer(graph):
        why, step = " (it is a Git LFS pointer, not the file)", lfs.FETCH
    elif not graph:
        why = " (the file is empty)"
    elif "External data" in said:
        why = " (its weights are in a second file)"
        step = "save it with its weights inside: in Python, `onnx.save(onnx.load(FILE), OTHER_FILE)`"
    elif "version" in said or "opset" in said:
        step = "export it again with an older operator set, or with an older version of its exporter"
    return ContractError(f"{name} cannot be loaded by ONNX Runtime {onnxruntime.__version__}: {said}{why}", step)


def _names(nodes: list[onnxruntime.NodeArg]) -> str:
    return ", ".join(f"`{node.name}`" for node in nodes)
