"""A graph is read as ONNX and in no other format, so that the checked bytes are those that compute."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from photo_classifier import manifest, model, precision
from photo_classifier.manifest import ModelError
from tests.support.polyglots import ort_format, polyglot


def classifier(*, integers: bool) -> onnx.ModelProto:
    """Three classes: the mean of each channel, in steps of 0.1 if `integers`."""
    flat = "flat" if integers else "output"
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], [flat]),
    ]
    if integers:
        nodes += [
            helper.make_node("QuantizeLinear", ["flat", "scale", "zero"], ["bytes"]),
            helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["output"]),
        ]
    graph = helper.make_graph(
        nodes,
        "three",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.float32(0.1), "scale"), numpy_helper.from_array(np.uint8(128), "zero")]
        if integers
        else [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="session")
def two_models(tmp_path_factory):
    """float32 for parsers of ONNX, int8 for parsers of the ORT format."""
    return polyglot(classifier(integers=False), classifier(integers=True), tmp_path_factory.mktemp("polyglot"))


@pytest.fixture
def directory(tmp_path, write_manifest):
    def write(content: bytes):
        (tmp_path / "three.onnx").write_bytes(content)
        (tmp_path / "labels.txt").write_text("a\nb\nc\n")
        write_manifest(tmp_path, "three.onnx", "labels.txt")
        return tmp_path

    return write


LEVELS = np.full((1, 3, 224, 224), 0.1234, np.float32)


def test_the_attack_works_where_no_format_is_set(two_models):
    """ONNX Runtime takes the ORT format by the file's first bytes, and onnx reads the same file as another model."""
    session = ort.InferenceSession(two_models, providers=["CPUExecutionProvider"])
    (values,) = session.run(None, {"input": LEVELS})
    assert np.allclose(values, 0.1, atol=1e-3)
    assert [node.op_type for node in onnx.load_from_string(two_models).graph.node] == ["GlobalAveragePool", "Flatten"]


def test_a_file_of_two_formats_is_not_served(two_models, directory):
    with pytest.raises(ModelError, match=r"three\.onnx is no ONNX graph: it is in ORT format"):
        manifest.read(directory(two_models))


def test_a_session_computes_the_graph_that_was_checked(two_models, tmp_path):
    """Also if the check let the file pass: bytes, and a file that is mapped."""
    (tmp_path / "three.ort").write_bytes(two_models)
    for graph in (two_models, tmp_path / "three.ort"):
        session = model.create_session(graph, ort.SessionOptions())
        (values,) = session.run(None, {"input": LEVELS})
        assert np.allclose(values, 0.1234, atol=1e-3)


def test_a_model_in_ort_format_is_refused_with_its_reason(directory, tmp_path):
    saved = ort_format(classifier(integers=False), tmp_path)
    with pytest.raises(ModelError, match=r"three\.onnx is no ONNX graph: it is in ORT format"):
        manifest.read(directory(saved))
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        model.create_session(saved, ort.SessionOptions())
    with pytest.raises(ValueError, match=re.escape("it is in ORT format")):
        precision.found(memoryview(saved))


def test_the_product_that_is_tried_is_read_as_onnx(monkeypatch):
    """All sessions of the function state the format."""
    entries = []

    class Options(ort.SessionOptions):
        def add_session_config_entry(self, key, value):
            entries.append((key, value))
            super().add_session_config_entry(key, value)

    monkeypatch.setattr(ort, "SessionOptions", Options)
    model._cuts_sums.__wrapped__()
    assert ("session.load_model_format", "ONNX") in entries
