"""Model directories whose right answers are known without running them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class TinyModel:
    """`logits = weights @ (mean of the tensor over the picture) + bias`; weights (classes, 3), bias (classes,)."""

    folder: Path
    weights: np.ndarray
    bias: np.ndarray
    labels: list[str]

    def logits(self, tensor: np.ndarray) -> np.ndarray:
        return tensor.astype(np.float64).mean(axis=(2, 3)) @ self.weights.T.astype(np.float64) + self.bias

    def scores(self, tensor: np.ndarray) -> np.ndarray:
        exponents = np.exp(self.logits(tensor))
        return exponents / exponents.sum(axis=1, keepdims=True)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(folder: Path, onnx_file: str, labels_file: str, *, name: str = "tiny", trained: bool = True) -> None:
    count = len((folder / labels_file).read_text().splitlines())
    manifest = {
        "format": "blindsight-model/1",
        "name": name,
        "version": "1",
        "trained": trained,
        "weights": {"name": name, "sha256": "0" * 64},
        "onnx": {
            "file": onnx_file,
            "sha256": sha256(folder / onnx_file),
            "bytes": (folder / onnx_file).stat().st_size,
            "opset": 17,
        },
        "input": {"name": "input", "shape": ["N", 3, 224, 224], "dtype": "float32"},
        "output": {"name": "output", "shape": ["N", count], "activation": "softmax"},
        "preprocessing": {
            "resize": 232,
            "crop": 224,
            "interpolation": "bilinear",
            "antialias": True,
            "mean": list(MEAN),
            "std": list(STD),
        },
        "labels": {"file": labels_file, "count": count, "sha256": sha256(folder / labels_file)},
        "versions": {"onnx": onnx.__version__},
    }
    (folder / "model.json").write_text(json.dumps(manifest))


def write_tiny_model(
    folder: Path, weights: np.ndarray, bias: np.ndarray, labels: list[str], *, more_nodes: tuple[Any, ...] = (),
    more_initializers: tuple[Any, ...] = (), trained: bool = True
) -> TinyModel:  # fmt: skip
    """Write the model directory of `logits = weights @ mean + bias`.

    `more_nodes` may turn `logits` into `output`; without, they are the same. `flat` is the mean, (N, 3).
    """
    weights, bias = weights.astype(np.float32), bias.astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits" if more_nodes else "output"], transB=1),
        *more_nodes,
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", len(labels)])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias"), *more_initializers],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "tiny.onnx")
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    write_manifest(folder, "tiny.onnx", "labels.txt", trained=trained)
    return TinyModel(folder, weights, bias, labels)


LEVELS = tuple(round(step * 255 / 9) for step in range(10))
"""The colour model's grid, in each channel: its 1000 classes are the 1000 colours, red changing slowest."""

BROKEN_CLASS = 90
"""Pure green: the colour model's logits for it are infinite, as a faulty model's would be."""

_SHARPNESS = 40.0


def colour_of(class_id: int) -> tuple[int, int, int]:
    return LEVELS[class_id // 100], LEVELS[class_id // 10 % 10], LEVELS[class_id % 10]


def label_of(class_id: int) -> str:
    return f"shade-{class_id:03}-of-the-grid"


def normalised(colours: np.ndarray) -> np.ndarray:
    """Grey levels (..., 3) as the model sees them."""
    return (colours / 255.0 - MEAN) / STD


def write_colour_model(folder: Path) -> TinyModel:
    """Write the model directory of a classifier that finds the grid colour next to a picture's mean colour.

    `|mean - colour|^2` is linear in `mean` but for a term that all classes share, so one layer does it.
    """
    colours = normalised(np.array([colour_of(class_id) for class_id in range(1000)]))
    # How green something is differs by 0.48 between pure green and its neighbours; the exponential tells them apart.
    greenness = np.array([-1.0, 1.0, -1.0])
    threshold = float(colours[BROKEN_CLASS] @ greenness) - 0.2
    steepness = 1000.0
    return write_tiny_model(
        folder,
        2 * _SHARPNESS * colours,
        -_SHARPNESS * (colours**2).sum(axis=1),
        [label_of(class_id) for class_id in range(1000)],
        more_nodes=(
            helper.make_node("Gemm", ["flat", "steep", "threshold"], ["excess"], transB=1),
            helper.make_node("Exp", ["excess"], ["fault"]),
            helper.make_node("Add", ["logits", "fault"], ["output"]),
        ),
        more_initializers=(
            numpy_helper.from_array((steepness * greenness[None]).astype(np.float32), "steep"),
            numpy_helper.from_array(np.array([-steepness * threshold], np.float32), "threshold"),
        ),
    )
