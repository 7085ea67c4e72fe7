"""The function takes no manifest of the second format that it cannot follow."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model_build.cli import main
from photo_classifier.manifest import ModelError
from tests.support.graphs import Graph


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "imagenet_classes.txt").write_text("".join(f"class {index}\n" for index in range(7)))
    source = Graph(layout="NHWC", size=(64, 96)).save(tmp_path / "any.onnx")
    assert main(["build", "--onnx", str(source), "--out", str(tmp_path / "model")]) == 0
    return tmp_path / "model"


def edit(folder, place, value):
    part, member = place.split(".")
    content = json.loads((folder / "model.json").read_bytes())
    content[part][member] = value
    (folder / "model.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("input.layout", "NWHC", "layout NWHC"),
        ("input.layout", "NCHW", "cannot run"),
        ("input.dtype", "float64", "dtype float64"),
        ("input.dtype", "uint8", "normalised grey levels in an input of uint8"),
        ("input.dtype", "float16", "cannot run"),
        ("input.size", [96, 64], "another size"),
        ("input.size", 64, "height and width"),
        ("input.batch", 0, "batch as 0"),
        ("input.batch", True, "batch as True"),
        ("input.batch", "any", "batch as any"),
        ("input.name", 5, "no name"),
        ("output.classes", 8, "number of classes"),
        ("output.activation", "tanh", "activation tanh"),
        ("output.applied_by", "caller", "place of the activation caller"),
        ("output.dtype", "float16", "not float16"),
        ("labels.offset", 1, "number of classes"),
        ("labels.offset", -1, "offset as -1"),
        ("preprocessing.interpolation", "nearest", "interpolation nearest"),
        ("preprocessing.antialias", False, "without antialiasing"),
        ("preprocessing.resize", 64, "crop larger"),
        ("preprocessing.resize", [64, 90], "crop larger"),
        ("preprocessing.scale", 0, "to nothing"),
        ("preprocessing.std", [1, 0, 1], "divides by nothing"),
        ("preprocessing.mean", [0.5], "three means"),
        ("preprocessing.channels", "GRB", "channels GRB"),
        ("input.layout", None, "layout None"),
    ],
)
def test_what_it_cannot_follow_is_refused(folder, load_app, place, value, message):
    edit(folder, place, value)
    with pytest.raises(ModelError, match=message):
        load_app(folder)


def test_values_that_are_no_scores_are_no_answer(folder, load_app):
    edit(folder, "output.applied_by", "graph")
    function = load_app(folder)
    with pytest.raises(ModelError, match="not between 0 and 1"):
        function.classify(np.full((64, 96, 3), 9, dtype=np.float32).tobytes())


@pytest.mark.parametrize(
    ("part", "member"),
    [("input", "layout"), ("input", "batch"), ("output", "activation"), ("output", "applied_by"), ("labels", "offset"),
     ("preprocessing", "scale"), ("preprocessing", "channels"), ("preprocessing", "crop")],
)  # fmt: skip
def test_a_member_that_is_missing_is_not_made_up(folder, load_app, part, member):
    content = json.loads((folder / "model.json").read_bytes())
    del content[part][member]
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="incomplete or malformed"):
        load_app(folder)
