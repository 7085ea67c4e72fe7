"""Images whose answers are given: the model is written only if they come out."""

from __future__ import annotations

import json

import onnx
import pytest
from onnx import helper
from PIL import Image

from model_build.cli import main
from tests.support.models import colour_of, label_of, write_colour_model


@pytest.fixture
def source(tmp_path):
    """A model that knows colours, without a manifest, and pictures of two of them."""
    folder = tmp_path / "source"
    folder.mkdir()
    write_colour_model(folder)
    (folder / "model.json").unlink()
    (folder / "labels.txt").rename(folder / "imagenet_classes.txt")
    for class_id in (123, 777):
        Image.new("RGB", (300, 400), colour_of(class_id)).save(tmp_path / f"{class_id}.png")
    return folder / "tiny.onnx"


@pytest.fixture
def build(source, tmp_path, capsys):
    def run(*options):
        status = main(["build", "--onnx", str(source), "--out", str(tmp_path / "model"), *options])
        return status, capsys.readouterr().err

    return run


def expect(tmp_path, class_id, label=None):
    return ("--check", f"{tmp_path / str(class_id)}.png={label or label_of(class_id)}")


@pytest.mark.parametrize("label", [None, "123"])
def test_right_answers_are_shown(build, tmp_path, label):
    status, shown = build(*expect(tmp_path, 123, label), *expect(tmp_path, 777))
    assert status == 0
    assert f"Checked: {tmp_path / '123.png'}: {label_of(123)} (" in shown
    assert f"Checked: {tmp_path / '777.png'}: {label_of(777)} (" in shown


@pytest.mark.parametrize("options", [("--normalisation", "half"), ("--channels", "BGR")], ids=" ".join)
def test_a_transform_that_gives_other_answers_is_refused(build, tmp_path, options):
    status, shown = build(*expect(tmp_path, 123), *expect(tmp_path, 777), *options)
    assert status == 1
    assert "2 of 2 answers do not come out" in shown or "1 of 2 answers do not come out" in shown
    assert f"not {label_of(123)}" in shown
    assert "`model build --normalisation NAME" in shown
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("name", "label", "reason"),
    [
        ("123", "no such label", "has no class 'no such label'"),
        ("gone", "1", "gone.png cannot be read"),
        ("text", "1", "cannot be classified"),
    ],
)
def test_what_cannot_be_asked_is_told(build, tmp_path, name, label, reason):
    (tmp_path / "text.png").write_text("no picture")
    status, shown = build(*expect(tmp_path, name, label))
    assert status == 1
    assert reason in shown
    assert not (tmp_path / "model").exists()


def test_of_several_right_classes_each_can_be_asked_for(source, build, tmp_path):
    model = onnx.load(source)
    model.graph.node[-1].output[0] = "sharp"
    # Of the colours near the picture's the best have logits above 0.
    model.graph.node.extend([helper.make_node("Sigmoid", ["sharp"], ["output"])])
    onnx.save(model, source)
    status, shown = build(*expect(tmp_path, 123))
    made = json.loads((tmp_path / "model" / "model.json").read_bytes()) if status == 0 else {}
    assert (status, made.get("output", {}).get("activation")) == (0, "sigmoid"), shown
