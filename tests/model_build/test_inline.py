"""Weights in further files are put into the graph, which is then what the onnx package makes of it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_build.errors import ContractError
from model_build.inline import inlined
from tests.support.graphs import Graph


def whole():
    """A model with weights at the top, in a branch's graph and in a constant's attribute."""
    model = Graph(size=(64, 64)).model()
    numbers = np.arange(600, dtype=np.float32)
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [600])],
        [numpy_helper.from_array(numbers, "inner")],
    )
    constant = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.extend(
        [constant, helper.make_node("If", ["yes"], ["unused"], then_branch=branch, else_branch=branch)]
    )
    return model


@pytest.mark.parametrize("one", [True, False], ids=["one file", "a file for each tensor"])
def test_the_graph_is_what_it_was(tmp_path, one):
    path = tmp_path / "m.onnx"
    options = {"location": "weights.bin"} if one else {}
    onnx.save(
        whole(),
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=one,
        size_threshold=0,
        convert_attribute=True,
        **options,
    )
    content, files = inlined(path)
    assert set(files) == {file.name for file in tmp_path.iterdir()} - {"m.onnx"}
    assert files == ("weights.bin",) if one else len(files) > 3
    assert onnx.load_from_string(content) == whole()


def test_weights_in_the_default_of_a_functions_attribute_are_put_in(tmp_path):
    def model(tensor: onnx.TensorProto) -> onnx.ModelProto:
        function = helper.make_function("own", "F", [], ["y"], [], [helper.make_opsetid("", 17)])
        function.attribute_proto.append(helper.make_attribute("numbers", tensor))
        return onnx.ModelProto(ir_version=8, functions=[function])

    numbers = numpy_helper.from_array(np.arange(3, dtype=np.float32), "numbers")
    (tmp_path / "weights.bin").write_bytes(numbers.raw_data)
    outside = onnx.TensorProto(name="numbers", dims=[3], data_type=TensorProto.FLOAT, data_location="EXTERNAL")
    outside.external_data.add(key="location", value="weights.bin")
    path = tmp_path / "m.onnx"
    path.write_bytes(model(outside).SerializeToString())
    content, files = inlined(path)
    assert files == ("weights.bin",)
    assert onnx.load_from_string(content) == model(numbers)


def test_a_graph_that_has_its_weights_stays_as_it_is(tmp_path):
    path = Graph().save(tmp_path / "m.onnx")
    assert inlined(path) == (path.read_bytes(), ())


@pytest.mark.parametrize("content", [b"", b"<!doctype html>", bytes(range(256)), b"\x3a\xff\xff\xff\xff\x0f"])
def test_what_is_no_graph_stays_as_it_is(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert inlined(path) == (content, ())


def pointing(path, **entry):
    """A model whose first tensor is said to be at `entry`."""
    model = Graph(size=(64, 64)).model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entry.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../secret", "", "..\\secret", "C:\\secret"])
def test_weights_outside_of_the_folder_are_not_read(tmp_path, location):
    (tmp_path / "secret").write_bytes(bytes(1 << 20))
    (tmp_path / "model").mkdir()
    path = pointing(tmp_path / "model" / "m.onnx", location=location)
    with pytest.raises(ContractError, match="not in its own folder"):
        inlined(path)


def test_weights_in_a_folder_below_are_read(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "w").write_bytes(bytes(range(256)) * 200)
    content, files = inlined(pointing(tmp_path / "m.onnx", location="parts/w", offset="16", length="32"))
    assert files == ("parts/w",)
    assert onnx.load_from_string(content).graph.initializer[0].raw_data == bytes(range(16, 48))


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(ContractError, match=r"a second file, gone\.bin, which is not beside it"):
        inlined(pointing(tmp_path / "m.onnx", location="gone.bin"))


@pytest.mark.parametrize(
    "entry", [{"offset": "90", "length": "20"}, {"offset": "-1"}, {"offset": "200"}, {"length": "x"}]
)
def test_weights_beyond_their_file_are_refused(tmp_path, entry):
    (tmp_path / "w").write_bytes(bytes(100))
    with pytest.raises(ContractError, match="too few"):
        inlined(pointing(tmp_path / "m.onnx", location="w", **entry))
