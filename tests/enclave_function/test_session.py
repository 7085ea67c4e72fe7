"""A session computes what its graph states: each option that this needs is set, and changes what is computed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_build.session import Session
from photo_classifier import model

CHANNELS, CLASSES = 3, 4
GENERATOR = np.random.default_rng(2)
WEIGHTS = GENERATOR.standard_normal((CLASSES, CHANNELS, 1, 1)).astype(np.float32)
WEIGHTS[:, 0] *= 100
"""One channel that would leave the others few of 255 steps, if the weights became integers of one scale."""

SCALE = 0.02


def between_integers() -> onnx.ModelProto:
    """A convolution with float weights, whose input and output are integers: a layer that stays in float32."""

    def pair(name: str, scale: str, to: str) -> list[onnx.NodeProto]:
        return [
            helper.make_node("QuantizeLinear", [name, scale, "zero"], [f"{name}.levels"]),
            helper.make_node("DequantizeLinear", [f"{name}.levels", scale, "zero"], [to]),
        ]

    nodes = [
        *pair("input", "scale", "given"),
        helper.make_node("Conv", ["given", "weights", "bias"], ["sums"]),
        *pair("sums", "wide", "kept"),
        helper.make_node("GlobalAveragePool", ["kept"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "between",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", CHANNELS, 8, 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", CLASSES])],
        [
            numpy_helper.from_array(WEIGHTS, "weights"),
            numpy_helper.from_array(np.zeros(CLASSES, np.float32), "bias"),
            numpy_helper.from_array(np.float32(SCALE), "scale"),
            numpy_helper.from_array(np.float32(SCALE), "wide"),
            numpy_helper.from_array(np.uint8(128), "zero"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


LEVELS = np.zeros((1, CHANNELS, 8, 8), np.float32)
LEVELS[:, 1:] = 50 * SCALE
"""Exact in steps of `SCALE`; the channel with the large weights is 0."""


def expected() -> np.ndarray:
    sums = np.einsum("nchw,kc->nk", LEVELS[:, :, :1, :1], WEIGHTS[:, :, 0, 0])
    return np.clip(np.rint(sums / SCALE), -128, 127) * SCALE


def test_onnx_runtime_alone_would_make_the_float_weights_integers(tmp_path):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    graph = between_integers().SerializeToString()
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    assert operators(tmp_path)["QLinearConv"] == 1
    (values,) = session.run(None, {"input": LEVELS})
    assert np.abs(values - expected()).max() > 5 * SCALE


def test_float_weights_between_integer_layers_remain_float(tmp_path):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    session = model.create_session(between_integers().SerializeToString(), options)
    assert operators(tmp_path)["QLinearConv"] == 0
    (values,) = session.run(None, {"input": LEVELS})
    assert np.abs(values - expected()).max() < 1.01 * SCALE


def test_the_builder_computes_the_same(tmp_path):
    onnx.save(between_integers(), tmp_path / "between.onnx")
    (values,) = Session(tmp_path / "between.onnx").run(["output"], ("input", LEVELS))
    assert np.abs(values - expected()).max() < 1.01 * SCALE


def operators(folder) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)


class Processor:
    """An ONNX Runtime session that computes the product as a processor would, with or without VNNI."""

    def __init__(self, *, cuts: bool) -> None:
        self._cuts = cuts

    def __call__(self, *_arguments, **_options) -> Processor:
        return self

    def run(self, _outputs, feed) -> list[np.ndarray]:
        """Products of pairs are added in 16 bits (VPMADDUBSW), or all in 32 bits."""
        products = feed["a"].astype(np.int32)[:, :, None] * feed["b"].astype(np.int32)[None]
        pairs = products[:, 0::2] + products[:, 1::2]
        return [(pairs.clip(-(1 << 15), (1 << 15) - 1) if self._cuts else pairs).sum(axis=1)]


@pytest.mark.parametrize("cuts", [True, False])
def test_a_processor_that_cuts_sums_off_is_found(monkeypatch, cuts):
    monkeypatch.setattr(ort, "InferenceSession", Processor(cuts=cuts))
    assert model._cuts_sums.__wrapped__() is cuts


@pytest.mark.parametrize("cuts", [True, False])
def test_the_exact_product_is_asked_for_where_it_is_needed(monkeypatch, cuts):
    """On a processor with VNNI both products are exact, and the option cannot be seen in a result."""
    monkeypatch.setattr(model, "_cuts_sums", lambda: cuts)
    options = ort.SessionOptions()
    model.create_session(between_integers().SerializeToString(), options)
    if cuts:
        assert options.get_session_config_entry("session.x64quantprecision") == "1"
    else:
        with pytest.raises(RuntimeError, match="x64quantprecision"):
            options.get_session_config_entry("session.x64quantprecision")
