"""The optimised graph is smaller and computes the same."""

import collections

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_build.contract import check_contract, relative_difference
from model_build.errors import ContractError
from model_build.optimise import optimise, strip_metadata


@pytest.fixture
def unfolded(tmp_path):
    """A classifier as an older exporter writes it: BatchNormalization, identity, a computed constant, a dead node."""
    generator = np.random.default_rng(2)
    constants = {
        "kernel": generator.standard_normal((8, 3, 3, 3)),
        "gain": generator.uniform(0.5, 2, 8),
        "shift": generator.standard_normal(8),
        "mean": generator.standard_normal(8),
        "variance": generator.uniform(0.5, 2, 8),
        "half_weight": generator.standard_normal((8, 5)),
        "two": np.array(2.0),
        "bias": generator.standard_normal(5),
    }
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["convolved"], strides=[8, 8]),
        helper.make_node("BatchNormalization", ["convolved", "gain", "shift", "mean", "variance"], ["normalised"]),
        helper.make_node("Identity", ["normalised"], ["same"]),
        helper.make_node("Relu", ["same"], ["positive"]),
        helper.make_node("Sigmoid", ["positive"], ["nobody_wants_this"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Mul", ["half_weight", "two"], ["weight"], doc_string="File /home/maker/model.py, line 7"),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "unfolded",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(np.asarray(value, dtype=np.float32), name) for name, value in constants.items()],
    )
    path = tmp_path / "unfolded.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def operators(path):
    return collections.Counter(node.op_type for node in onnx.load(path).graph.node)


def test_graph_gets_smaller_and_computes_the_same(unfolded, tmp_path):
    target = tmp_path / "optimised.onnx"
    optimise(unfolded, target)
    assert operators(target) == {"Conv": 1, "Relu": 1, "GlobalAveragePool": 1, "Flatten": 1, "Gemm": 1}
    batch = np.random.default_rng(3).standard_normal((2, 3, 224, 224), dtype=np.float32)
    before, after = check_contract(unfolded).logits(batch), check_contract(target).logits(batch)
    assert relative_difference(before, after) < 1e-5


def test_result_is_the_same_every_time_and_names_no_machine(unfolded, tmp_path):
    optimise(unfolded, tmp_path / "first.onnx")
    optimise(unfolded, tmp_path / "second.onnx")
    content = (tmp_path / "first.onnx").read_bytes()
    assert content == (tmp_path / "second.onnx").read_bytes()
    assert b"/home/" not in content
    assert str(tmp_path).encode() not in content


def test_only_the_standard_operator_set_is_imported(unfolded, tmp_path):
    optimise(unfolded, tmp_path / "optimised.onnx")
    assert [(opset.domain, opset.version) for opset in onnx.load(tmp_path / "optimised.onnx").opset_import] == [
        ("", 17)
    ]


def test_hardware_specific_operators_are_refused(tiny, tmp_path):
    model = onnx.load(tiny())
    model.graph.node[2].output[0] = "before"
    model.graph.node.insert(3, helper.make_node("QuickGelu", ["before"], ["flat"], domain="com.microsoft"))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, tmp_path / "special.onnx")
    with pytest.raises(ContractError, match=r"com\.microsoft\.QuickGelu"):
        optimise(tmp_path / "special.onnx", tmp_path / "optimised.onnx")


def test_strip_metadata_keeps_the_computation(classifier):
    model = classifier()
    clean = classifier()
    strip_metadata(clean)
    model.doc_string = model.graph.doc_string = model.graph.node[0].doc_string = "/home/maker"
    model.producer_version = "2.13.0+cpu"
    entry = model.graph.node[1].metadata_props.add()
    entry.key, entry.value = "stack_trace", "/home/maker/model.py"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    strip_metadata(model)
    assert model == clean
