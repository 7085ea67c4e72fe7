"""Weights that are stored as integers are computed in float32, as the manifest says, by function and builder."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_build import onnx_file
from model_build.session import Session
from photo_classifier import manifest, model, precision

CHANNELS, CLASSES, BLOCK = 64, 5, 16
GENERATOR = np.random.default_rng(0)
LEVELS = GENERATOR.integers(0, 16, (CHANNELS, CLASSES))
SCALES = (GENERATOR.random((CHANNELS // BLOCK, CLASSES)) / 8).astype(np.float32)
WIDE = GENERATOR.standard_normal((3, CHANNELS)).astype(np.float32)


def stored(bits: int) -> onnx.ModelProto:
    """Logits of the three channels' means: a float product, and one whose weights are integers of so many bits."""
    kind = {4: TensorProto.UINT4, 8: TensorProto.UINT8}[bits]
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "wide"], ["activations"]),
            helper.make_node("DequantizeLinear", ["levels", "scales", "zeros"], ["head"], axis=0, block_size=BLOCK),
            helper.make_node("MatMul", ["activations", "head"], ["output"]),
        ],
        "stored",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", CLASSES])],
        [
            numpy_helper.from_array(WIDE, "wide"),
            helper.make_tensor("levels", kind, LEVELS.shape, LEVELS.flatten().tolist()),
            numpy_helper.from_array(SCALES, "scales"),
            helper.make_tensor("zeros", kind, SCALES.shape, [8] * SCALES.size),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def exact(tensors: np.ndarray) -> np.ndarray:
    head = (LEVELS - 8) * np.repeat(SCALES.astype(np.float64), BLOCK, axis=0)
    return tensors.astype(np.float64).mean(axis=(2, 3)) @ WIDE @ head


def error(found: np.ndarray, tensors: np.ndarray) -> float:
    expected = exact(tensors)
    return float(np.abs(found - expected).max() / np.ptp(expected))


@pytest.fixture
def tensors():
    means = np.random.default_rng(1).standard_normal((8, 3, 1, 1))
    return np.broadcast_to(means, (8, 3, 224, 224)).astype(np.float32)


@pytest.fixture(params=[4, 8])
def folder(request, tmp_path, write_manifest):
    onnx.save(stored(request.param), tmp_path / "stored.onnx")
    (tmp_path / "labels.txt").write_text("".join(f"class {index}\n" for index in range(CLASSES)))
    write_manifest(tmp_path, "stored.onnx", "labels.txt")
    return tmp_path


def test_onnx_runtime_alone_would_compute_them_in_8_bits(folder, tensors):
    """Its default for a product whose weights alone are integers: what the options below are for."""
    session = ort.InferenceSession(folder / "stored.onnx", providers=["CPUExecutionProvider"])
    assert error(session.run(None, {"input": tensors})[0], tensors) > 1e-3


@pytest.mark.parametrize("shared", [False, True])
def test_the_function_computes_them_in_float32(folder, tensors, tmp_path, shared):
    files = manifest.read(folder)
    assert files.precision == precision.FLOAT32
    for _ in range(2):
        loaded = model.load(files, shared=tmp_path / "shared" if shared else None)
        assert error(loaded.logits(tensors, threads=1), tensors) < 2e-4


def test_the_builder_computes_them_in_float32(folder, tensors):
    assert not onnx_file.computes_with_integers(folder / "stored.onnx")
    (found,) = Session(folder / "stored.onnx").run(["output"], ("input", tensors))
    assert error(found, tensors) < 2e-4
