"""Small convolutional networks as model directories: enough layers for integers to be faster, and one that breaks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import rfc8785
from onnx import TensorProto, helper, numpy_helper

from model_build.synthetic import pictures
from photo_classifier.transform import Preprocessing
from tests.support.models import write_manifest

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = 7


@dataclass(frozen=True)
class Shape:
    """What a network takes; by default what ResNet50 does."""

    name: str = "input"
    layout: str = "NCHW"
    size: tuple[int, int] = (224, 224)
    batch: int | str = "N"


def write_network(folder: Path, *, layers: int = 6, outlier: float = 0.0, name: str = "network") -> Path:
    """Write a model directory with the `network` of ResNet50's shape to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(network(layers=layers, outlier=outlier), folder / f"{name}.onnx")
    (folder / "labels.txt").write_text("".join(f"class {index}\n" for index in range(CLASSES)))
    write_manifest(folder, f"{name}.onnx", "labels.txt", name=name)
    path = folder / "model.json"
    path.write_bytes(rfc8785.dumps(json.loads(path.read_bytes())))
    return folder


def network(
    shape: Shape | None = None,
    *,
    layers: int = 6,
    outlier: float = 0.0,
    preprocessing: Preprocessing | None = None,
) -> onnx.ModelProto:
    """`layers` convolutions of 64 channels, with random weights.

    The class depends on the colours of the picture. With `outlier`, one channel of the second convolution's output is
    so many times as large as the others, and nothing depends on it: in 8 bits it leaves the others no room.
    """
    shape, preprocessing = shape or Shape(), preprocessing or Preprocessing()
    generator = np.random.default_rng(3)
    weights: dict[str, np.ndarray] = {}
    nodes, tensor, channels = [], "picture", 3
    for layer in range(layers):
        side = 1 if layer == 0 else 3
        weight = generator.standard_normal((64, channels, side, side)) / np.sqrt(channels * side * side)
        if layer:
            # Mostly what came in, as in residual networks, so that colours are still told apart at the end.
            weight *= 0.3
            weight[np.arange(64), np.arange(64), 1, 1] += 1
        if outlier and layer == 1:
            weight[0] = np.abs(weight[0]) * outlier
        if outlier and layer == 2:
            weight[:, 0] = 0
        weights[f"weight{layer}"] = weight
        nodes += [
            helper.make_node(
                "Conv", [tensor, f"weight{layer}"], [f"sum{layer}"], name=f"layer{layer}",
                strides=[8 if layer == 0 else 1] * 2, pads=[side // 2] * 4,
            ),
            helper.make_node("Relu", [f"sum{layer}"], [f"out{layer}"]),
        ]  # fmt: skip
        tensor, channels = f"out{layer}", 64
    nodes += [
        helper.make_node("GlobalAveragePool", [tensor], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
    ]
    # The classes are the two ends of the three directions in which pictures differ most, and the middle.
    features = _outputs(_model(nodes, weights, "flat", 64, Shape(size=shape.size)), preprocessing)
    centre = features.mean(axis=0)
    directions = np.linalg.svd(features - centre, full_matrices=False)[2][:3]
    head = np.concatenate([directions, -directions, np.zeros((1, 64))]).T
    weights |= {"head": head, "bias": -centre @ head}
    nodes.append(helper.make_node("Gemm", ["flat", "head", "bias"], ["output"], name="head"))
    return _model(nodes, weights, "output", CLASSES, shape)


def _model(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], output: str, width: int, shape: Shape
) -> onnx.ModelProto:
    channels_first = shape.layout == "NCHW"
    axes = (3, *shape.size) if channels_first else (*shape.size, 3)
    first = (
        helper.make_node("Identity", [shape.name], ["picture"])
        if channels_first
        else helper.make_node("Transpose", [shape.name], ["picture"], perm=[0, 3, 1, 2])
    )
    graph = helper.make_graph(
        [first, *nodes],
        "network",
        [helper.make_tensor_value_info(shape.name, TensorProto.FLOAT, [shape.batch, *axes])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [shape.batch, width])],
        [numpy_helper.from_array(values.astype(np.float32), key) for key, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _outputs(model: onnx.ModelProto, preprocessing: Preprocessing) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = np.concatenate([preprocessing.tensor(picture) for picture in pictures(24, seed=1)])
    return session.run(None, {"input": inputs})[0]
