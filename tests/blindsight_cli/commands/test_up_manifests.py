"""`blindsight up` on model directories whose `model.json` is none: one line, and what to do."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import typer

from blindsight_cli import quantised
from tests.blindsight_cli.commands.test_up_models import up
from tests.support.models import write_manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.models import TinyModel

NO_MANIFESTS: dict[str, bytes] = {
    "nothing": b"",
    "half": b'{"name": "x"',
    "list": b"[]",
    "text": b'"x"',
    "other object": b"{}",
    "NaN": b'{"precision": NaN}',
    "twice": b'{"precision": 1, "precision": 2}',
    "deep": b"[" * 100_000,
    "not UTF-8": b"\xff\xfe{}",
    "LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
}
PRECISIONS = [(), ("--precision", "float32"), ("--precision", "int8")]


@pytest.fixture
def model(colour_model: TinyModel, tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copyfile(colour_model.folder / "labels.txt", folder / "labels.txt")
    shutil.copyfile(colour_model.folder / "tiny.onnx", folder / "tiny.onnx")
    return folder


def said(state: Path, *arguments: object) -> str:
    """The output of a run that must end with one error and what to do next."""
    with up(state, *arguments) as (process, _, output):
        text = output.read_text()
        assert (process.poll(), "Traceback" in text) == (1, False), text
    (error,) = [line for line in text.splitlines() if line.startswith("error: ")]
    return text[text.index(error) :]


@pytest.mark.parametrize("case", ["half", "list", "other object"])
@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda words: words[-1] if words else "none")
def test_a_malformed_manifest_is_said_in_one_line(
    model: Path, tmp_path: Path, precision: tuple[str, ...], case: str
) -> None:
    (model / "model.json").write_bytes(NO_MANIFESTS[case])
    text = said(tmp_path / "state", "--model", model, *precision)
    assert "model.json is not a" in text.splitlines()[0]
    assert "model_build build" in text or "build the model again" in text


def _variant(folder: Path, model: Path, precision: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(typer.Exit) as ended:
        quantised.variant(folder, model, precision, None)
    assert ended.value.exit_code == 1
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("case", [case for case in NO_MANIFESTS if case != "other object"])
def test_what_is_no_manifest_has_no_precision(
    model: Path, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "model.json").write_bytes(NO_MANIFESTS[case])
    error, step = _variant(tmp_path, model, "int8", capsys)
    assert error == f"error: {model / 'model.json'} is not a model manifest"
    assert "git lfs pull" in step if case == "LFS" else "build the model again" in step


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "folder": lambda path: path.mkdir(),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "large": lambda path: path.write_bytes(b" " * (2 << 20)),
    "nowhere": lambda path: path.symlink_to("nothing"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_manifest_that_cannot_be_read_is_said(
    model: Path, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    UNREADABLE[case](model / "model.json")
    error, step = _variant(tmp_path, model, "int8", capsys)
    assert error.startswith(f"error: {model / 'model.json'} cannot be read: ")
    assert "build the model again" in step


def test_without_a_precision_no_manifest_is_read(model: Path, tmp_path: Path) -> None:
    assert quantised.variant(tmp_path, model, None, None) == model


def test_no_variant_is_made_of_another_file_than_the_one_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The manifest beside `other.onnx` is of `tiny.onnx`, and the variant would be of that one."""
    write_manifest(model, "tiny.onnx", "labels.txt")
    other = shutil.copyfile(model / "tiny.onnx", model / "other.onnx")
    error, step = _variant(tmp_path, other, "int8", capsys)
    assert error == "error: model.json beside other.onnx is the manifest of tiny.onnx"
    assert "another folder" in step


@pytest.mark.parametrize(
    "precision",
    ["int8", 1, [], {"name": "int8", "agreement": 1}, {"name": "int8", "agreement": {"top1": "x"}},
     {"name": "int8", "agreement": {"top1": "x", "images": 1, "set": "given"}},
     {"name": "int8", "agreement": {"top1": 10**400, "images": 1, "set": "given"}}],
    ids=lambda value: json.dumps(value)[:40],
)  # fmt: skip
def test_a_banner_states_what_there_is(precision: object) -> None:
    """The function reads only the name of what a foreign manifest says of its precision."""
    name = "int8" if isinstance(precision, dict) else "unknown"
    assert quantised.describe({"precision": precision}) == name
