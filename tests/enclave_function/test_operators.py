"""Each operator is known to compute with floats or with integers; what is unknown is refused."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as registry

from photo_classifier import precision

NOT_TAKEN = {
    "another program computes": (
        "EPContext", "Snpe", "DisentangledAttention_TRT", "EfficientNMS_TRT", "MultilevelCropAndResize_TRT",
        "PyramidROIAlign_TRT",
    ),
    "floats of fewer bits": (
        "GemmFloat8", "MatMulBlockQuantizedFp4Weight", "MatMulBlockQuantizedFp8Weight", "QuantizeBFP", "DequantizeBFP",
        "MatMulFpQ4",
    ),
    "keys and values may be kept in 8 bits": ("GroupQueryAttention", "PagedAttention", "SparsePagedAttention"),
    "training": ("Adagrad", "Adam", "Gradient", "Momentum"),
}  # fmt: skip
"""Operators in none of the lists, so that models with them are refused."""

ON_INTEGERS = (
    "ConvInteger", "DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulInteger",
    "MatMulInteger16", "MatMulIntegerToFloat", "MulInteger", "QAttention", "QEmbedLayerNormalization", "QGemm",
    "QLinearAdd", "QLinearConv", "QLinearMatMul", "QMoE", "QOrderedAttention", "QOrderedMatMul", "QuantizeLinear",
    "QuantizeWithOrder", "ReduceSumInteger",
)  # fmt: skip


def test_every_operator_that_onnx_runtime_knows_is_classified():
    """After an update of ONNX Runtime or onnx this names the operators to put into a list."""
    from photo_classifier.operators import BY_LEVEL, DEQUANTISE, ON_FLOATS, ON_INTEGERS

    lists = [ON_INTEGERS, BY_LEVEL, ON_FLOATS, {DEQUANTISE}, *map(set, NOT_TAKEN.values())]
    known = {schema.name for schema in registry.get_all_operator_schema()}
    known |= {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    assert known - set().union(*lists) == set(), "in no list"
    assert set().union(*lists) - known == set(), "no operators"
    assert sum(map(len, lists)) == len(set().union(*lists)), "in two lists"


def test_names_that_say_integers_are_not_listed_as_floats():
    from photo_classifier.operators import ON_FLOATS

    named = {name for name in ON_FLOATS if re.search(r"Integer|Quanti|QLinear|QOrdered|NBits|^Q[A-Z]", name)}
    assert named == {"GatherBlockQuantized"}, "which takes rows of weights that are stored as integers"


def model(
    *nodes: NodeProto,
    functions: tuple[onnx.FunctionProto, ...] = (),
    constants: tuple[str, ...] = (),
    overridable: bool = False,
    ir_version: int = 8,
) -> str:
    """The precision of a graph of `nodes` from `input` to `output`; `constants` are initializers of uint8."""
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 4])]
    if overridable:
        inputs += [helper.make_tensor_value_info(name, TensorProto.UINT8, [4]) for name in constants]
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.zeros(4, np.uint8), name) for name in constants],
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=ir_version, functions=functions
    )
    return precision.found(memoryview(made.SerializeToString()))


def operator(name: str, *inputs: str, output: str = "output", domain: str = "", **attributes) -> NodeProto:
    return helper.make_node(name, inputs or ("input",), [output], domain=domain, **attributes)


def branch(*nodes: NodeProto) -> GraphProto:
    return helper.make_graph(nodes, "b", [], [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)])


def function(name: str, *nodes: NodeProto) -> onnx.FunctionProto:
    return helper.make_function("own", name, ["input"], ["output"], nodes, [helper.make_opsetid("", 17)])


@pytest.mark.parametrize("domain", ["", "ai.onnx", "com.microsoft"])
@pytest.mark.parametrize("name", ON_INTEGERS)
def test_operators_on_integers_count(name, domain):
    assert model(operator(name, domain=domain)) == precision.INT8


@pytest.mark.parametrize("name", [*(name for names in NOT_TAKEN.values() for name in names), "Own", "", "R\nelu"])
def test_an_operator_of_unknown_arithmetic_is_refused(name):
    with pytest.raises(ValueError, match=r"^the arithmetic of its operator '[^\n]*' is unknown$"):
        model(operator("Relu", output="x"), operator(name, "x"))


def test_the_name_of_an_unknown_operator_is_cut_off():
    with pytest.raises(ValueError, match="unknown") as caught:
        model(operator("X" * 100_000))
    assert len(str(caught.value)) < 200


def test_the_models_own_functions_are_known_by_what_is_in_them():
    call = operator("Mine", domain="own")
    assert model(call, functions=(function("Mine", operator("Relu")),)) == precision.FLOAT32
    assert model(call, functions=(function("Mine", operator("QLinearAdd")),)) == precision.INT8
    with pytest.raises(ValueError, match="'Other' is unknown"):
        model(call, functions=(function("Mine", operator("Other")),))
    with pytest.raises(ValueError, match="'Mine' is unknown"):
        model(call)


def test_a_function_named_like_an_operator_does_not_hide_it():
    assert model(operator("QLinearAdd"), functions=(function("QLinearAdd", operator("Relu")),)) == precision.INT8
    assert model(operator("Relu", domain="own"), functions=(function("Relu", operator("QGemm")),)) == precision.INT8


@pytest.mark.parametrize("attribute", ["then_branch", "graphs"])
def test_operators_in_branches_count(attribute):
    inner = branch(operator("MulInteger"))
    value = inner if attribute == "then_branch" else [inner]
    assert model(operator("If", **{attribute: value})) == precision.INT8


def test_operators_in_the_default_graph_of_a_functions_attribute_count():
    """FunctionProto.attribute_proto, which an If in the function refers to."""
    conditional = operator("If")
    for name in ("then_branch", "else_branch"):
        conditional.attribute.append(AttributeProto(name=name, ref_attr_name="inner", type=AttributeProto.GRAPH))
    mine = function("Mine", conditional)
    mine.attribute_proto.append(helper.make_attribute("inner", branch(operator("QLinearAdd"))))
    assert model(operator("Mine", domain="own"), functions=(mine,)) == precision.INT8


@pytest.mark.parametrize("name", ["MatMulNBits", "MatMulNBitsMlp", "MatMulNBitsQkv"])
def test_the_level_of_a_product_with_stored_weights_states_its_arithmetic(name):
    assert model(operator(name)) == precision.FLOAT32
    for level, expected in ((0, "float32"), (1, "float32"), (2, "int8"), (3, "int8"), (4, "int8"), (-1, "int8")):
        assert model(operator(name, accuracy_level=level)) == expected
        assert model(operator("If", then_branch=branch(operator(name, accuracy_level=level)))) == expected


def test_a_level_that_a_caller_or_a_second_attribute_states_is_not_overlooked():
    node = operator("MatMulNBits", accuracy_level=0)
    node.attribute.append(helper.make_attribute("accuracy_level", 4))
    assert model(node) == precision.INT8
    node = operator("MatMulNBits")
    node.attribute.append(
        AttributeProto(name="accuracy_level", ref_attr_name="level", type=AttributeProto.INT),
    )
    mine = function("Mine", node)
    mine.attribute.append("level")
    assert model(operator("Mine", domain="own", level=4), functions=(mine,)) == precision.INT8


@pytest.mark.parametrize("where", ["attribute", "graph of an attribute", "initializer"])
def test_a_field_that_comes_twice_is_refused(where):
    """Parsers take the last one, or merge them."""
    from tests.support.protobufs import field

    graphs = [field(6, field(1, field(4, name))) for name in (b"Relu", b"QLinearAdd")]
    attribute, initializer = field(1, b"then_branch") + graphs[0], field(8, b"bytes")
    if where == "attribute":
        attribute += field(1, b"else_branch")
    elif where == "graph of an attribute":
        attribute += graphs[0]
    else:
        initializer += field(8, b"others")
    node = field(1, field(4, b"If") + field(5, attribute))
    with pytest.raises(ValueError, match=r"2 times|several graphs"):
        precision.found(memoryview(field(7, node + field(5, initializer))))


def test_integers_that_store_weights_do_not_count():
    used = operator("Mul", "input", "weights")
    constant = operator("Constant", output="bytes", value=numpy_helper.from_array(np.zeros(4, np.uint8)))
    constant.ClearField("input")
    dequantise = operator("DequantizeLinear", "bytes", "scale", output="weights")
    assert model(dequantise, used, constants=("bytes",)) == precision.FLOAT32
    assert model(constant, dequantise, used) == precision.FLOAT32
    turned = operator("DequantizeLinear", "turned", "scale", output="weights")
    transposed = operator("Transpose", "bytes", output="turned")
    assert model(transposed, turned, used, constants=("bytes",)) == precision.FLOAT32
    inner = operator("If", then_branch=branch(dequantise, used))
    assert model(inner, constants=("bytes",)) == precision.FLOAT32
    # Up to version 3 every initializer is an input too, and none can be overridden.
    assert model(dequantise, used, constants=("bytes",), overridable=True, ir_version=3) == precision.FLOAT32


def test_activations_that_are_cast_and_dequantised_count():
    cast = operator("Cast", output="bytes", to=TensorProto.UINT8)
    dequantise = operator("DequantizeLinear", "bytes", "scale")
    assert model(cast, dequantise) == precision.INT8
    assert model(cast, operator("Reshape", "bytes", "shape", output="b"), operator("DequantizeLinear", "b", "s"),
                 constants=("shape",)) == precision.INT8  # fmt: skip
    assert model(dequantise, constants=("bytes",), overridable=True) == precision.INT8
    loop = helper.make_graph(
        [operator("DequantizeLinear", "bytes", "scale")],
        "b",
        [helper.make_tensor_value_info("bytes", TensorProto.UINT8, None)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
    )
    assert model(operator("Loop", body=loop), constants=("bytes",)) == precision.INT8
    mine = function("Mine", operator("DequantizeLinear", "input", "scale"))
    assert model(cast, operator("Mine", "bytes", domain="own"), functions=(mine,)) == precision.INT8
    # What a node with a graph inside computes depends on more than its inputs.
    chosen = operator("If", "bytes", output="chosen", then_branch=branch(operator("Identity")))
    assert model(chosen, operator("DequantizeLinear", "chosen", "s"), constants=("bytes",)) == precision.INT8


def test_onnx_runtime_multiplies_such_activations_in_integers(tmp_path):
    """Without QuantizeLinear, and so without an operator that names integers."""
    constants = [
        numpy_helper.from_array(np.ones((4, 4), np.int8), "levels"),
        numpy_helper.from_array(np.float32(0.5), "scale"),
        numpy_helper.from_array(np.int8(0), "zero"),
        numpy_helper.from_array(np.uint8(0), "none"),
    ]
    nodes = [
        operator("Cast", output="bytes", to=TensorProto.UINT8),
        operator("DequantizeLinear", "bytes", "scale", "none", output="activations"),
        operator("DequantizeLinear", "levels", "scale", "zero", output="weights"),
        operator("MatMul", "activations", "weights"),
    ]
    given, output = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("input", "output"))
    made = helper.make_model(
        helper.make_graph(nodes, "g", [given], [output], constants),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "optimised.onnx")
    assert "MatMulIntegerToFloat" in {node.op_type for node in optimised.graph.node}
    assert precision.found(memoryview(made.SerializeToString())) == precision.INT8


@pytest.mark.parametrize("depth", [31, 90, 2000])
def test_graphs_inside_each_other_have_an_end(depth):
    """Written from the inside out, because onnx cannot hold them either."""
    from tests.support.protobufs import field

    graph = field(1, field(4, b"Relu"))
    for _ in range(depth):
        graph = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, graph)))
    with pytest.raises(ValueError, match="too many graphs inside each other"):
        precision.found(memoryview(field(7, graph)))
