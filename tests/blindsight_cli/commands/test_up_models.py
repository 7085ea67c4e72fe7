"""The model that was asked for is the one that serves: runs of `blindsight up`, and bundles, of one file or folder."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import onnx
import pytest

from tests.support.command import blindsight
from tests.support.images import plain
from tests.support.models import label_of, write_manifest
from tests.support.processes import environment
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.models import TinyModel

NOWHERE = "http://127.0.0.1:9"
"""A dead proxy stands for a machine without network."""


@dataclass(frozen=True)
class Seen:
    """What a caller and the person at the terminal saw of one run."""

    banner: str
    answer: dict[str, Any]

    @property
    def model(self) -> tuple[str, bool]:
        return self.answer["model"]["name"], self.answer["model"]["trained"]

    @property
    def label(self) -> str:
        return self.answer["predictions"][0]["label"]


@contextlib.contextmanager
def up(state: Path, *arguments: object) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """`blindsight up` on `state` until it has ended or serves: its process, its port and the file of its output."""
    folder = state.parent
    port, output = free_port(), folder / "output"
    options = ["--port", port, "--tls-port", 0, "--metrics-port", 0, "--workers", 1, "--state", state]
    variables = {"HTTPS_PROXY": NOWHERE, "https_proxy": NOWHERE, "COLUMNS": "300"}
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "blindsight_cli.main", "up", *map(str, [*options, *arguments])],
            cwd=folder,
            env={**environment(folder, {"cache": folder / "cache"}), **variables},
            stdout=file,
            stderr=file,
        )
    try:
        wait_until("the banner", lambda: process.poll() is not None or "Ctrl-C" in output.read_text(), seconds=120)
        yield process, port, output
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGINT)
        process.wait(60)


def run(state: Path, *arguments: object) -> Seen:
    """What one run shows for a photo of shade 123."""
    with up(state, *arguments) as (process, port, output):
        assert process.poll() is None, output.read_text()
        answer = httpx2.post(f"http://127.0.0.1:{port}/classify", files={"file": plain(123)}, trust_env=False)
        assert answer.status_code == 200, answer.text
        return Seen(output.read_text(), answer.json())


def refusal(state: Path, *arguments: object) -> str:
    """The one error line of a run that must not serve."""
    with up(state, *arguments) as (process, _, output):
        assert process.poll() == 1, output.read_text()
        (line,) = [line for line in output.read_text().splitlines() if line.startswith("error: ")]
        return line


@pytest.fixture
def graph(colour_model: TinyModel, tmp_path: Path) -> Path:
    """An ONNX file with its labels beside it, and no manifest."""
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copyfile(colour_model.folder / "labels.txt", folder / "imagenet_classes.txt")
    return shutil.copyfile(colour_model.folder / "tiny.onnx", folder / "shades.onnx")


def test_labels_changed_beside_the_file_are_the_next_runs(graph: Path, tmp_path: Path) -> None:
    first = run(tmp_path / "state", "--model", graph)
    assert (first.model, first.label) == (("shades", True), label_of(123))
    graph.with_name("imagenet_classes.txt").write_text("".join(f"renamed {index}\n" for index in range(1000)))
    assert run(tmp_path / "state", "--model", graph).label == "renamed 123"


def test_a_manifest_beside_the_file_counts_and_only_for_the_run_that_asks(graph: Path, tmp_path: Path) -> None:
    write_manifest(graph.parent, "shades.onnx", "imagenet_classes.txt", name="painter", trained=False)
    described = run(tmp_path / "state", "--model", graph)
    assert described.model == ("painter", False)
    assert "UNTRAINED" in described.banner
    assert run(tmp_path / "state").model == ("offline-cifar10", True), "this run asked for no model"


def test_a_graph_that_cannot_be_loaded_is_refused_with_the_reason(graph: Path, tmp_path: Path) -> None:
    """The enclave finds it out, where a manifest is beside it; its reason has several lines."""
    model = onnx.load(graph)
    model.ir_version = 99
    onnx.save(model, graph)
    write_manifest(graph.parent, "shades.onnx", "imagenet_classes.txt")
    assert "Unsupported model IR version: 99" in refusal(tmp_path / "state", "--model", graph.parent)


def test_a_refused_model_leaves_nothing_behind(graph: Path, tmp_path: Path) -> None:
    graph.write_bytes(b"")
    said = refusal(tmp_path / "state", "--model", graph)
    assert said.endswith("No graph was found in the protobuf (the file is empty)")
    assert list((tmp_path / "state" / "models").iterdir()) == []


def test_a_folder_without_a_manifest_names_the_files_in_it(graph: Path, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "up", "--port", free_port(), "--tls-port", 0, "--metrics-port", 0,
                      "--state", tmp_path / "state", "--model", graph.parent)  # fmt: skip
    assert done.returncode == 1
    error, step = done.stderr.splitlines()
    assert error == f"error: {graph.parent} is not a model directory: it has no model.json"
    assert str(graph) in step


def test_the_bundle_of_a_file_is_the_bundle_that_would_be_served(graph: Path, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "bundle", "build", "--model", graph, "--out", tmp_path / "function.zip", "--json")
    assert done.returncode == 0, done.stderr
    model = json.loads(done.stdout)["model"]
    assert (model["name"], model["trained"]) == ("shades", True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["function.zip", "mine", "tmp"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_bundle_of_a_file_with_a_manifest_is_what_that_says(graph: Path, tmp_path: Path) -> None:
    write_manifest(graph.parent, "shades.onnx", "imagenet_classes.txt", name="painter", trained=False)
    done = blindsight(tmp_path, "bundle", "build", f"--model={graph}", "--out", tmp_path / "function.zip", "--json")
    assert done.returncode == 0, done.stderr
    model = json.loads(done.stdout)["model"]
    assert (model["name"], model["trained"]) == ("painter", False)


UNTRUE = {
    "other weights": "shades.onnx does not have the SHA-256 that model.json gives",
    "other labels": "imagenet_classes.txt does not have the SHA-256 that model.json gives",
    "another model's manifest": "model.json beside other.onnx is the manifest of shades.onnx",
    "a manifest of something else": "model.json is not a model manifest",
    "untrained in words": "model.json does not say with true or false whether the model is trained",
}
"""Manifests beside the file that do not hold, and what is said."""


def beside(graph: Path, case: str) -> Path:
    """Make the manifest of the case; returns the file to ask for."""
    folder = graph.parent
    write_manifest(folder, "shades.onnx", "imagenet_classes.txt", name="painter", trained=False)
    manifest = folder / "model.json"
    match case:
        case "other weights":
            graph.write_bytes(graph.read_bytes() + b"\x00")
        case "other labels":
            (folder / "imagenet_classes.txt").write_text("".join(f"changed {index}\n" for index in range(1000)))
        case "another model's manifest":
            return shutil.copyfile(graph, folder / "other.onnx")
        case "a manifest of something else":
            manifest.write_text('{"trained": false}')
        case _:
            manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"trained": "false"}))
    return graph


@pytest.mark.parametrize("case", UNTRUE)
def test_no_bundle_is_made_past_a_manifest_that_does_not_hold(graph: Path, tmp_path: Path, case: str) -> None:
    done = blindsight(tmp_path, "bundle", "build", "--model", beside(graph, case), "--out", tmp_path / "function.zip")
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.splitlines()
    assert UNTRUE[case] in line
    assert not (tmp_path / "function.zip").exists()


@pytest.mark.parametrize("case", ["other labels", "another model's manifest", "a manifest of something else"])
def test_nothing_is_served_past_a_manifest_that_does_not_hold(graph: Path, tmp_path: Path, case: str) -> None:
    assert UNTRUE[case] in refusal(tmp_path / "state", "--model", beside(graph, case))


def test_the_next_step_for_changed_labels_mends_it(graph: Path, tmp_path: Path) -> None:
    asked = beside(graph, "other labels")
    done = blindsight(tmp_path, "bundle", "build", "--model", asked, "--out", tmp_path / "function.zip")
    command = shlex.split(done.stderr.split("`")[1])
    assert command[:4] == ["python", "-m", "model_build", "build"]
    subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, env=environment(tmp_path), check=True, timeout=60)
    done = blindsight(tmp_path, "bundle", "build", "--model", asked, "--out", tmp_path / "function.zip", "--json")
    assert done.returncode == 0, done.stderr
    model = json.loads(done.stdout)["model"]
    assert (model["name"], model["trained"]) == ("painter", False)
    with zipfile.ZipFile(tmp_path / "function.zip") as bundle:
        assert bundle.read("imagenet_classes.txt").startswith(b"changed 0\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--model", "none.onnx", "--out", "b.zip"), "there is no model at none.onnx"),
        (("--model", "x" * 300, "--out", "b.zip"), "File name too long"),
        (("--model", "/dev/null", "--out", "b.zip"), "/dev/null is neither a file nor a folder"),
        (("--out", "b.zip"), "--model"),
        (("--out", "b.zip", "--model"), "--model: expected one argument"),
    ],
)
def test_what_is_no_model_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    done = blindsight(tmp_path, "bundle", "build", *arguments)
    assert done.returncode in {1, 2}
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_release_takes_what_a_bundle_takes(graph: Path, tmp_path: Path) -> None:
    """The wheel is built first, by tools that a test machine may lack; it is the model that is looked at here."""
    done = blindsight(tmp_path, "release", "make", "--model", graph.with_name("none.onnx"), "--out", tmp_path / "out")
    assert f"there is no model at {graph.with_name('none.onnx')}" in done.stderr
