"""What cannot be found out is refused, and the refusal names the option that says it; with that option it is taken."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import onnx
import pytest
import rfc8785
from onnx import TensorProto, helper, numpy_helper

from model_build.cli import main
from tests.support.graphs import Graph


def plain(
    nodes,
    *,
    shape=("N", "C", "H", "W"),
    outputs=("output",),
    dtype=TensorProto.FLOAT,
    inputs=("input",),
    **initializers,
):
    """A model of these nodes; outputs are of open shape."""
    graph = helper.make_graph(
        [helper.make_node(operator, given, made, **attributes) for operator, given, made, attributes in nodes],
        "odd",
        [helper.make_tensor_value_info(name, dtype, list(shape)) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


WEIGHTS = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float32)


@pytest.fixture
def build(tmp_path, capsys):
    """Import a model with options: the manifest, or the error and the next step."""
    (tmp_path / "imagenet_classes.txt").write_text("".join(f"class {index}\n" for index in range(7)))
    numbers = itertools.count()

    def run(model, *options):
        source, out = tmp_path / "odd.onnx", tmp_path / f"out{next(numbers)}"
        onnx.save(model.model() if isinstance(model, Graph) else model, source)
        status = main(["build", "--onnx", str(source), "--out", str(out), *options])
        lines = capsys.readouterr().err.splitlines()
        if status == 0:
            return json.loads((out / "model.json").read_bytes())
        assert not out.exists()
        assert (status, len(lines)) == (1, 3), lines
        return lines[1], lines[2]

    return run


def test_axes_that_can_be_read_both_ways(build):
    model = plain(
        [
            ("ReduceMean", ["input"], ["mean"], {"axes": [1, 2, 3], "keepdims": 0}),
            ("Unsqueeze", ["mean", "axis"], ["column"], {}),
            ("MatMul", ["column", "row"], ["output"], {}),
        ],
        axis=np.array([1]), row=WEIGHTS[:1],
    )  # fmt: skip
    error, step = build(model)
    assert "runs as NCHW and as NHWC" in error
    assert "`model build --layout NCHW`" in step
    for layout in ("NCHW", "NHWC"):
        assert build(model, "--layout", layout)["input"].get("layout", "NCHW") == layout


def test_outputs_of_which_two_could_have_the_classes(build):
    nodes = [
        ("GlobalAveragePool", ["input"], ["pooled"], {}),
        ("Flatten", ["pooled"], ["flat"], {}),
        ("MatMul", ["flat", "weights"], ["main"], {}),
        ("Neg", ["main"], ["aux"], {}),
    ]
    model = plain(nodes, shape=("N", 3, 224, 224), outputs=("main", "aux"), weights=WEIGHTS)
    error, step = build(model)
    assert "`main` [1, 7], `aux` [1, 7]" in error
    assert "`model build --output NAME`" in step
    assert build(model, "--output", "aux")["output"]["name"] == "aux"
    error, _ = build(model, "--output", "other")
    assert "`other` is no output" in error


@pytest.mark.parametrize("by", ["graph", "function"])
def test_values_of_0_to_1_by_an_operator_that_is_not_known(build, by):
    model = Graph(tail=(("Sigmoid", {}), ("Sqrt", {})))
    error, step = build(model)
    assert "values of 0 to 1" in error
    assert "`model build --applied-by graph`" in step
    made = build(model, "--applied-by", by, "--activation", "sigmoid")
    assert (made["output"]["applied_by"], made["output"]["activation"]) == (by, "sigmoid")


def test_values_that_are_no_scores_are_not_said_to_be(build):
    error, step = build(Graph(), "--applied-by", "graph")
    assert "they are no scores" in error
    assert "`model build --applied-by function`" in step


def test_scores_are_not_made_of_probabilities(build):
    error, step = build(Graph(tail=(("Softmax", {"axis": 1}),)), "--applied-by", "function")
    assert "its output is probabilities, not logits" in error
    assert "`model build --applied-by graph`" in step


@pytest.mark.parametrize(
    ("tail", "options", "reason"),
    [
        ("Softmax", ("--activation", "sigmoid"), "ends in softmax, not in sigmoid"),
        ("Sigmoid", ("--activation", "softmax"), "ends in sigmoid, not in softmax"),
    ],
)
def test_another_activation_than_the_graphs(build, tail, options, reason):
    error, _ = build(Graph(tail=((tail, {}),)), *options)
    assert reason in error


def test_a_batch_whose_pictures_depend_on_each_other(build):
    """As dynamic quantisation makes them: the scale is of the whole batch."""
    nodes = [
        ("GlobalAveragePool", ["input"], ["pooled"], {}),
        ("Flatten", ["pooled"], ["flat"], {}),
        ("ReduceMax", ["flat"], ["largest"], {"keepdims": 0}),
        ("Div", ["flat", "largest"], ["scaled"], {}),
        ("MatMul", ["scaled", "weights"], ["output"], {}),
    ]
    model = plain(nodes, shape=("N", 3, 224, 224), weights=WEIGHTS)
    error, step = build(model)
    assert "depends on the others in its batch" in error
    assert "`model build --batch 1`" in step
    assert build(model, "--batch", "1")["input"]["batch"] == 1


DEPENDENT = {
    "the largest value of the batch": [
        ("ReduceMax", ["flat"], ["largest"], {"keepdims": 0}),
        ("Div", ["flat", "largest"], ["mixed"], {}),
    ],
    "the mean of the batch": [
        ("ReduceMean", ["flat"], ["mean"], {"axes": [0], "keepdims": 1}),
        ("Sub", ["flat", "mean"], ["mixed"], {}),
    ],
    "the place in the batch": [("Add", ["flat", "places"], ["mixed"], {})],
    "the neighbour": [("Gather", ["flat", "order"], ["mixed"], {"axis": 0})],
    "whether the last place is empty": [
        ("Gather", ["flat", "last"], ["end"], {"axis": 0}),
        ("Sign", ["end"], ["sign"], {}),
        ("Mul", ["flat", "sign"], ["mixed"], {}),
    ],
}


@pytest.mark.parametrize("batch", [2, 3, 16])
@pytest.mark.parametrize("mixing", DEPENDENT.values(), ids=DEPENDENT.keys())
def test_a_fixed_batch_whose_pictures_depend_on_each_other(build, mixing, batch):
    """It has the pictures of several callers, or empty places."""
    nodes = [
        ("GlobalAveragePool", ["input"], ["pooled"], {}),
        ("Flatten", ["pooled"], ["flat"], {}),
        *mixing,
        ("MatMul", ["mixed", "weights"], ["output"], {}),
    ]
    places = np.zeros((batch, 3), dtype=np.float32)
    places[-2] = 1
    model = plain(
        nodes, shape=(batch, 3, 224, 224), weights=WEIGHTS, places=places, order=np.roll(np.arange(batch), 1),
        last=np.array([batch - 1]),
    )  # fmt: skip
    error, step = build(model)
    assert "the answer for one picture depends on" in error
    assert "export it for one picture at a time" in step


@pytest.mark.parametrize("classes", [7, 1])
@pytest.mark.parametrize("batch", [1, 2, 16])
def test_a_fixed_batch_of_independent_pictures(build, batch, classes, tmp_path):
    (tmp_path / "imagenet_classes.txt").write_text("".join(f"class {index}\n" for index in range(classes)))
    assert build(Graph(batch=batch, classes=classes))["input"]["batch"] == batch


def test_a_batch_that_is_told_is_checked_as_well(build):
    nodes = [
        ("GlobalAveragePool", ["input"], ["pooled"], {}),
        ("Flatten", ["pooled"], ["flat"], {}),
        *DEPENDENT["the largest value of the batch"],
        ("MatMul", ["mixed", "weights"], ["output"], {}),
    ]
    error, step = build(plain(nodes, shape=("N", 3, 224, 224), weights=WEIGHTS), "--batch", "4")
    assert "depends on the others in its batch" in error
    assert "`model build --batch 1`" in step


def test_a_batch_that_does_not_run(build):
    """An export whose batch axis is open by name alone."""
    nodes = [
        ("GlobalAveragePool", ["input"], ["pooled"], {}),
        ("Reshape", ["pooled", "one"], ["flat"], {}),
        ("MatMul", ["flat", "weights"], ["output"], {}),
    ]
    model = plain(nodes, shape=("N", 3, 224, 224), weights=WEIGHTS, one=np.array([1, 3]))
    error, step = build(model)
    assert "a batch of 5 does not run" in error
    assert "`model build --batch 1`" in step
    assert build(model, "--batch", "1")["input"]["batch"] == 1


POOL = [("GlobalAveragePool", ["input"], ["pooled"], {}), ("Flatten", ["pooled"], ["output"], {})]
CAST = [("Cast", ["input"], ["numbers"], {"to": TensorProto.FLOAT}), ("Flatten", ["numbers"], ["output"], {})]


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (plain(POOL, shape=("N", 1, 28, 28)), (), "has shape ['N', 1, 28, 28], not (N, 3, H, W) or (N, H, W, 3)"),
        (plain(POOL, shape=("N", 4, 224, 224)), (), "not (N, 3, H, W)"),
        (plain([("Identity", ["input"], ["output"], {})], shape=("N", 7)), (), "has shape ['N', 7]"),
        (plain(CAST, dtype=TensorProto.DOUBLE, shape=("N", 3, 64, 64)), (), "is tensor(double)"),
        (plain([("Add", ["input", "mask"], ["output"], {})], inputs=("input", "mask")), (), "`input`, `mask`"),
        (
            plain([("Identity", ["input"], ["output"], {})], shape=("N", 3, 64, 64)),
            (),
            "none is (N, number of classes)",
        ),
        (Graph(), ("--size", "299"), "not 299x299"),
        (Graph(), ("--layout", "NHWC"), "which is not NHWC"),
        (Graph(batch=1), ("--batch", "2"), "not a batch of 2"),
        (Graph(), ("--input", "pixel_values"), "has no input `pixel_values`, but `input`"),
        (Graph(), ("--resize", "100"), "smaller than the input"),
        (Graph(), ("--resize", "300x200"), "smaller than the input"),
        (Graph(), ("--label-offset", "1"), "7 classes, but there are 7 labels"),
        (Graph(dtype="uint8"), ("--normalisation", "half"), "nothing to normalise"),
        (Graph(open_axes=("C", "H", "W")), ("--size", "100"), "does not run on 100x100"),
        (Graph(size=(50, 50), open_axes=("C", "H", "W")), (), "does not run on 224x224"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_service_of_pictures_can_take(build, model, options, reason):
    error, step = build(model, *options)
    assert reason in error
    assert step


@pytest.mark.parametrize(
    "option",
    [
        ("--size", "0"), ("--size", "224x"), ("--size", "x"), ("--batch", "0"), ("--mean", "1,2"), ("--std", "a"),
        ("--scale", "0"), ("--scale", "1/0"), ("--label-offset", "-1"), ("--check", "dog.jpeg"), ("--resize", "-3"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_option_that_says_nothing_is_wrong_usage(option, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["build", "--onnx", "m.onnx", "--out", "out", *option])
    assert caught.value.code == 2
    assert option[0] in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--size", "224"), ("--normalisation", "half"), ("--check", "a=b")], ids=" ".join)
def test_options_of_a_graph_need_one(option, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["build", "--untrained", "--out", "out", *option])
    assert caught.value.code == 2
    assert "--onnx" in capsys.readouterr().err


def imported(folder, *options):
    assert main(["build", "--out", str(folder), *map(str, options)]) == 0
    return json.loads((folder / "model.json").read_bytes())


def test_a_manifest_of_the_second_format_beside_the_file_holds_and_options_go_before_it(tmp_path):
    (tmp_path / "l.txt").write_text("".join(f"class {index}\n" for index in range(7)))
    source = Graph(layout="NHWC", dtype="uint8").save(tmp_path / "odd.onnx")
    told = ("--activation", "sigmoid", "--resize", "224x224", "--interpolation", "bicubic", "--name", "odder")
    first = imported(tmp_path / "first", "--onnx", source, "--labels", tmp_path / "l.txt", *told, "--untrained-model")
    again = imported(tmp_path / "again", "--onnx", tmp_path / "first" / "odd.onnx")
    assert again == first
    other = imported(tmp_path / "other", "--onnx", tmp_path / "first" / "odd.onnx", "--interpolation", "bilinear")
    assert other == first | {"preprocessing": first["preprocessing"] | {"interpolation": "bilinear"}}
    copied = imported(tmp_path / "copied", "--directory", tmp_path / "first", "--formats", "png")
    assert copied == first | {"formats": ["png"]}


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("input.size", [64, 64], "crop larger|another size|not \\('N', 3, 64, 64\\)"),
        ("input.layout", "NHWC", "has shape"),
        ("input.dtype", "float16", "not float16"),
        ("input.name", "other", "not `other` to"),
        ("output.name", "other", "to `other`"),
        ("output.classes", 8, "the number of classes is 7, not 8"),
        ("output.dtype", "float16", "not float16"),
        ("output.applied_by", "graph", "they are no scores"),
        ("labels.offset", 1, "the number of labels is 7, not 6"),
        ("labels.count", 6, "the number of labels is 7, not 6"),
        ("preprocessing.resize", 100, "smaller than the input"),
        ("preprocessing.std", [1, 0, 1], "greater than or equal to"),
        ("preprocessing.interpolation", "nearest", "'bilinear' or 'bicubic'"),
    ],
)
def test_a_manifest_of_the_second_format_that_does_not_hold_is_found(tmp_path, capsys, place, value, reason):
    (tmp_path / "l.txt").write_text("".join(f"class {index}\n" for index in range(7)))
    source = Graph(names=("data", "scores")).save(tmp_path / "odd.onnx")
    made = imported(tmp_path / "model", "--onnx", source, "--labels", tmp_path / "l.txt")
    part, member = place.split(".")
    made[part][member] = value
    (tmp_path / "model" / "model.json").write_bytes(rfc8785.dumps(made))
    assert main(["check", str(tmp_path / "model")]) == 1
    assert re.search(reason, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("graph", "options"),
    [
        (Graph(open_axes=("3", "H", "W")), ["--size", "9000x9000"]),
        (Graph(open_axes=("3", "H", "W")), ["--size", "64x100000000000000000000"]),
        (Graph(size=(64, 64)), ["--batch", "1000000000"]),
        (Graph(size=(64, 64)), ["--resize", "9000"]),
        (Graph(size=(64, 64)), ["--mean", "nan"]),
        (Graph(size=(64, 64)), ["--std", "1e-320"]),
        (Graph(size=(64, 64)), ["--label-offset", "100000000000000000000"]),
    ],
)
def test_what_the_function_would_refuse_is_refused(build, graph, options):
    reason, _ = build(graph, *options)
    assert len(reason) < 400
