"""Classifiers of any shape, whose values depend on every number of their input and are known without running them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

_DTYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


@dataclass(frozen=True)
class Graph:
    """`logits = (the sum over the picture of input * mask) @ weights`; the axes of H and W may be open."""

    layout: str = "NCHW"
    size: tuple[int, int] = (224, 224)
    batch: int | str = "N"
    dtype: str = "float32"
    classes: int = 7
    names: tuple[str, str] = ("input", "output")
    tail: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Operators behind the logits, with their attributes."""
    more: tuple[str, ...] = ()
    """Names of further outputs: the sums, (N, 3)."""
    open_axes: tuple[str, str, str] | None = None
    """Names for the axes of C, H and W."""
    mask: np.ndarray = field(init=False)
    weights: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        generator = np.random.default_rng(7)
        # Divided, so that sums over pictures stay near 1, in float16 as well.
        mask = generator.standard_normal((3, *self.size)) / np.sqrt(self.size[0] * self.size[1])
        level = 1 / 128 if self.dtype == "uint8" else 1
        mask = (mask + 0.5 / np.sqrt(self.size[0] * self.size[1])) * level
        object.__setattr__(self, "mask", mask.astype(np.float32))
        object.__setattr__(self, "weights", generator.standard_normal((3, self.classes)).astype(np.float32) / 8)

    def logits(self, tensor: np.ndarray) -> np.ndarray:
        """Of a float tensor or of levels, (N, 3, H, W)."""
        return (tensor.astype(np.float64) * self.mask).sum(axis=(2, 3)) @ self.weights.astype(np.float64)

    def save(self, path: Path) -> Path:
        onnx.save(self.model(), path)
        return path

    def model(self) -> onnx.ModelProto:
        spatial = [2, 3] if self.layout == "NCHW" else [1, 2]
        mask = self.mask if self.layout == "NCHW" else self.mask.transpose(1, 2, 0)
        given, output = self.names
        nodes = [
            helper.make_node("Cast", [given], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["numbers", "mask"], ["masked"]),
            helper.make_node("ReduceSum", ["masked", "axes"], ["sums"], keepdims=0),
            helper.make_node("MatMul", ["sums", "weights"], ["stage0"]),
        ]
        last = "stage0"
        for index, (operator, attributes) in enumerate(self.tail, start=1):
            nodes.append(helper.make_node(operator, [last], [last := f"stage{index}"], **attributes))
        out_type = TensorProto.FLOAT16 if self.dtype == "float16" else TensorProto.FLOAT
        nodes.append(helper.make_node("Cast", [last], [output], to=out_type))
        nodes += [helper.make_node("Identity", ["sums"], [name]) for name in self.more]
        axes = self.open_axes or (3, *self.size)
        shape = [self.batch, *(axes if self.layout == "NCHW" else (*axes[1:], axes[0]))]
        graph = helper.make_graph(
            nodes,
            "any",
            [helper.make_tensor_value_info(given, _DTYPES[self.dtype], shape)],
            [
                helper.make_tensor_value_info(output, out_type, None),
                *(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.more),
            ],
            [
                numpy_helper.from_array(np.ascontiguousarray(mask), "mask"),
                numpy_helper.from_array(self.weights, "weights"),
                numpy_helper.from_array(np.array(spatial, dtype=np.int64), "axes"),
            ],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
