"""Graphs whose numbers are stored as float16 have the precision float32, since that is what computes them."""

from __future__ import annotations

import platform

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from photo_classifier import model, precision

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="of other processors the page says nothing")


@pytest.fixture
def graph() -> bytes:
    """`x * 60000 * 0.001`, whose first product float16 cannot hold, and a convolution and a product of matrices."""
    held = {
        "large": np.float16(60000).reshape(()), "small": np.float16(0.001).reshape(()),
        "kernel": np.ones((3, 3, 1, 1), np.float16), "weights": np.eye(3, dtype=np.float16),
    }  # fmt: skip
    nodes = [
        helper.make_node("Mul", ["x", "large"], ["product"]),
        helper.make_node("Conv", ["product", "kernel"], ["sums"]),
        helper.make_node("Mul", ["sums", "small"], ["smaller"]),
        helper.make_node("GlobalAveragePool", ["smaller"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["y"]),
    ]
    made = helper.make_graph(
        nodes,
        "half",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["N", 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, ["N", 3])],
        [numpy_helper.from_array(values, name) for name, values in held.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_its_operators_compute_in_float32(graph, tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    session = model.create_session(graph, options)
    (values,) = session.run(None, {"x": np.full((1, 3, 4, 4), 2, np.float16)})
    assert values.dtype == np.float16
    assert np.allclose(values, 3 * 2 * 60, rtol=2e-3)
    optimised = onnx.load(tmp_path / "optimised.onnx").graph
    assert {held.data_type for held in optimised.initializer} == {TensorProto.FLOAT}


def test_so_that_is_its_precision(graph):
    assert precision.found(memoryview(graph)) == precision.FLOAT32
