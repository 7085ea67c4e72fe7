"""A model that cannot be taken is refused in one line with the reason, ONNX Runtime's own where it gives one."""

from __future__ import annotations

import onnx
import pytest

from model_build.cli import main

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 100\n"


@pytest.fixture
def refusal(tmp_path, capsys):
    """The line and the next step that an import of the file prints."""

    def refuse(source):
        assert main(["build", "--onnx", str(source), "--out", str(tmp_path / "out")]) == 1
        checking, error, step = capsys.readouterr().err.splitlines()
        assert checking == f"Checking {source}"
        assert not (tmp_path / "out").exists()
        return error.removeprefix("error: "), step.removeprefix("next:  ")

    return refuse


def test_a_format_that_is_too_new(tiny, classifier, refusal):
    source = tiny()
    model = classifier()
    model.ir_version = 99
    onnx.save(model, source)
    error, step = refusal(source)
    assert error.startswith("tiny.onnx cannot be loaded by ONNX Runtime ")
    assert "Unsupported model IR version: 99, max supported IR version: " in error
    assert "/onnxruntime_src/" not in error
    assert step.startswith("export it again")


def test_an_operator_that_does_not_exist(tiny, classifier, refusal):
    source = tiny()
    model = classifier()
    model.graph.node[0].op_type = "Dream"
    onnx.save(model, source)
    error, _ = refusal(source)
    assert "No Op registered for Dream" in error


@pytest.mark.parametrize(
    ("content", "reason", "next_step"),
    [
        (b"", "No graph was found in the protobuf (the file is empty)", "give a complete ONNX model"),
        (b"<!doctype html>", "Failed to load model because protobuf parsing failed", "give a complete ONNX model"),
        (LFS_POINTER, "parsing failed (it is a Git LFS pointer, not the file)", "fetch the file with `git lfs pull`"),
    ],
    ids=["empty", "a page", "a pointer"],
)
def test_a_file_that_is_no_model(tmp_path, refusal, content, reason, next_step):
    source = tmp_path / "model.onnx"
    source.write_bytes(content)
    error, step = refusal(source)
    assert error.endswith(reason)
    assert step == next_step


@pytest.mark.parametrize("given", [None, 6, 8])
def test_labels_of_another_number(tiny, refusal, given):
    """Beside the file, or ImageNet's where there are none."""
    source = tiny()
    if given is not None:
        source.with_name("imagenet_classes.txt").write_text("".join(f"class {index}\n" for index in range(given)))
    error, step = refusal(source)
    assert error == f"tiny.onnx has 7 classes, but there are {given or 1000} labels in imagenet_classes.txt"
    assert "in imagenet_classes.txt beside the ONNX file" in step


def test_labels_that_are_a_pointer(tiny, refusal):
    """A pointer has three lines: the labels of a model with three classes, as it were."""
    source = tiny(classes=3)
    source.with_name("imagenet_classes.txt").write_bytes(LFS_POINTER)
    error, step = refusal(source)
    assert error.endswith("imagenet_classes.txt are a Git LFS pointer, not the file")
    assert step == "fetch the file with `git lfs pull`"


def test_weights_that_are_a_pointer(tmp_path, capsys):
    (tmp_path / "w.pth").write_bytes(LFS_POINTER)
    assert main(["build", "--weights", str(tmp_path / "w.pth"), "--out", str(tmp_path / "out")]) == 1
    error, step = capsys.readouterr().err.splitlines()
    assert error == f"error: {tmp_path / 'w.pth'} is a Git LFS pointer, not the weights"
    assert step == "next:  fetch the file with `git lfs pull`"


CASES = {
    "ir99": "Unsupported model IR version: 99, max supported IR version: ",
    "notonnx": "Failed to load model because protobuf parsing failed (it is a Git LFS pointer, not the file)",
    "empty": "No graph was found in the protobuf (the file is empty)",
    # Without labels of their own.
    "binary1": "has 1 classes, but there are 1000 labels",
    "ok10": "has 10 classes, but there are 1000 labels",
}
"""Models from people's complaints, and why they are refused; the others are in `test_any_model.py`."""


@pytest.mark.parametrize("case", CASES)
def test_the_shared_cases(assets, refusal, case):
    folder = assets.parent / "cases" / "models"
    if not folder.is_dir():
        pytest.skip("there are no cases beside the assets")
    error, step = refusal(folder / f"{case}.onnx")
    assert CASES[case] in error
    assert step
