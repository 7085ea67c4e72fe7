"""`--model-options`: what cannot be found out of an ONNX file, for a bundle of it and for a stack."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.blindsight_cli.commands.test_up import Up
from tests.support.command import blindsight
from tests.support.graphs import Graph

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = "--activation sigmoid --size 96x64 --labels 'my labels.txt'"


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    (tmp_path / "my labels.txt").write_text("".join(f"tag {index}\n" for index in range(7)))
    return Graph(size=(96, 64), open_axes=("C", "H", "W")).save(tmp_path / "tags.onnx")


def manifest(bundle: Path) -> dict[str, Any]:
    with zipfile.ZipFile(bundle) as archive:
        found: dict[str, Any] = json.loads(archive.read("model.json"))
        return found


@pytest.mark.parametrize("words", [("--model-options", OPTIONS), (f"--model-options={OPTIONS}",)], ids=["two", "one"])
def test_a_bundle_is_built_with_them(graph: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    out = tmp_path / "function.zip"
    done = blindsight(tmp_path, "bundle", "build", "--model", graph, *words, "--out", out)
    assert done.returncode == 0, done.stderr
    made = manifest(out)
    assert (made["input"]["size"], made["output"]["activation"]) == ([96, 64], "sigmoid")
    assert made["labels"]["file"] == "my_labels.txt"


def test_without_them_the_refusal_says_which_is_missing(graph: Path, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "bundle", "build", "--model", graph, "--out", tmp_path / "function.zip")
    assert done.returncode == 1
    assert "`model build --layout NCHW --size HxW --batch N`" in done.stderr


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("model", "--size 96", "this is a model directory"),
        ("tags.onnx", "--size '96", "cannot be read: No closing quotation"),
        ("tags.onnx", "--sizes 96", "unrecognized arguments: --sizes 96"),
    ],
)
def test_what_has_no_effect_is_refused(graph: Path, tmp_path: Path, model: str, options: str, reason: str) -> None:
    assert blindsight(tmp_path, "model", "build", "--onnx", graph, "--out", "model", *_words()).returncode == 0
    done = blindsight(tmp_path, "bundle", "build", "--model", model, "--model-options", options, "--out", "f.zip")
    assert done.returncode != 0
    assert reason in done.stderr
    assert not (tmp_path / "f.zip").exists()


def _words() -> tuple[str, ...]:
    return ("--size", "96x64", "--labels", "my labels.txt")


@pytest.mark.stack
def test_a_stack_serves_with_them(graph: Path, tmp_path: Path) -> None:
    running = Up(graph, tmp_path, "--model-options", OPTIONS, "--metrics-port", "0")
    try:
        assert "7 classes of which several can be right" in running.output()
        model = httpx2.get(f"{running.url}/info", trust_env=False).json()["model"]
        assert (model["input"]["size"], model["output"]["activation"]) == ([96, 64], "sigmoid")
    finally:
        running.process.terminate()
        running.process.wait(60)
