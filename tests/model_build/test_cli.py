"""The command line: exit status, one line of error, one next step."""

from __future__ import annotations

import hashlib
import sys
import types

import pytest
import torch

from model_build import manifest, weights
from model_build.cli import main
from model_build.weights import WeightsFile


def test_import_then_check(tiny, tmp_path, capsys):
    source = tiny("flowers.onnx")
    arguments = [
        "--out",
        str(tmp_path / "model"),
        "--onnx",
        str(source),
        "--labels",
        str(source.with_name("labels.txt")),
    ]
    assert main(["build", *arguments, "--name", "flowers", "--version", "3"]) == 0
    built = capsys.readouterr().out
    assert main(["check", str(tmp_path / "model")]) == 0
    assert capsys.readouterr().out == built
    digest = hashlib.sha256((tmp_path / "model" / "model.json").read_bytes()).hexdigest()
    assert built.strip().endswith(f"flowers 3, trained, model digest {digest}")


def test_untrained_import_is_noticed(tiny, tmp_path, capsys):
    assert main(["build", "--out", str(tmp_path / "m"), "--onnx", str(tiny(classes=1000)), "--untrained-model"]) == 0
    output = capsys.readouterr()
    assert "NOT TRAINED" in output.out
    assert "is not trained" in output.err


def test_refusal_is_one_line_and_a_next_step(tiny, tmp_path, capsys):
    assert main(["build", "--out", str(tmp_path / "model"), "--onnx", str(tiny())]) == 1
    error, step = capsys.readouterr().err.splitlines()[-2:]
    assert error.startswith("error: tiny.onnx has 7 classes")
    assert step.startswith("next: ")


def test_import_and_check_need_neither_torch_nor_onnx(tiny, tmp_path, without):
    source, packages = tiny(classes=1000), ("torch", "torchvision", "onnx", "onnxscript")
    built = without(packages, "build", "--out", tmp_path / "model", "--onnx", source)
    assert (built.returncode, built.stderr.splitlines()[0]) == (0, f"Checking {source}")
    checked = without(packages, "check", tmp_path / "model")
    assert (checked.returncode, checked.stdout) == (0, built.stdout)


@pytest.mark.parametrize("arguments", [("build", "--untrained", "--out", "unused"), ("train-offline",)])
def test_missing_torch_is_told_in_one_line(without, arguments):
    done = without(("torch",), *arguments)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: the Python package torch is not installed",
        "next:  install requirements/torch.txt and requirements/model-build.txt: see docs/operations.md",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["build"],
        ["build", "--out", "m", "--untrained", "--weights", "w.pth"],
        ["build", "--out", "m", "--onnx", "m.onnx", "--plain"],
        ["build", "--out", "m", "--untrained", "--labels", "l.txt"],
        ["build", "--out", "m", "--seed", "3"],
        ["build", "--out", "m", "--seed", "three", "--untrained"],
        ["unknown"],
    ],
)
def test_wrong_usage_is_exit_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["build"], ["check"], ["available"]])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_missing_directory_and_missing_weights(tmp_path, capsys):
    assert main(["check", str(tmp_path / "none")]) == 1
    assert main(["build", "--out", str(tmp_path / "m"), "--weights", str(tmp_path / "none.pth")]) == 1
    assert f"error: No such file or directory: {tmp_path / 'none.pth'}" in capsys.readouterr().err


def test_offline_build_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(weights, "RESNET50", WeightsFile("http://127.0.0.1:9/w.pth", "00" * 32, 10))
    arguments = ["--cache", str(tmp_path / "cache")]
    assert main(["available", *arguments]) == 1
    assert capsys.readouterr().out.strip() == (
        "pretrained weights: not in the cache, http://127.0.0.1:9/w.pth does not answer"
    )
    assert main(["build", "--out", str(tmp_path / "model"), *arguments]) == 1
    assert "--weights FILE" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_cached_weights_are_available(monkeypatch, tmp_path, capsys):
    content = b"weights"
    file = WeightsFile("http://127.0.0.1:9/w.pth", hashlib.sha256(content).hexdigest(), len(content))
    monkeypatch.setattr(weights, "RESNET50", file)
    (tmp_path / "w.pth").write_bytes(content)
    assert main(["available", "--cache", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"pretrained weights: in the cache, {tmp_path / 'w.pth'}\n"


def test_training_is_plugged_in(monkeypatch):
    told = []
    module = types.ModuleType("model_build.offline.train")
    module.add_arguments = lambda parser: parser.add_argument("--epochs", type=int)
    module.run = lambda options: told.append(options.epochs) or 3
    monkeypatch.setitem(sys.modules, "model_build.offline.train", module)
    monkeypatch.setattr("model_build.offline.train", module, raising=False)
    assert main(["train-offline", "--epochs", "4"]) == 3
    assert told == [4]


@pytest.mark.usefixtures("few_inputs")
def test_build_and_check_against_a_weights_file(network, exported, instead_of_exporting, tmp_path, capsys):
    file, other = tmp_path / "own.pth", tmp_path / "other.pth"
    torch.save(network.module.state_dict(), file)
    other.write_bytes(b"other weights")
    model = str(tmp_path / "model")
    assert main(["build", "--out", model, "--weights", str(file), "--plain"]) == 0
    assert (tmp_path / "model" / "resnet50.onnx").read_bytes() == exported.read_bytes()
    assert f"resnet50 {manifest.file_sha256(file)[:12]}, trained" in capsys.readouterr().out
    assert main(["check", model, "--weights", str(file)]) == 0
    assert "Against torch: largest difference" in capsys.readouterr().err
    assert main(["check", model, "--weights", str(other)]) == 1
    assert "the manifest says" in capsys.readouterr().err


def test_model_that_differs_from_torch_is_refused(perturbed, instead_of_exporting, tmp_path, capsys):
    instead_of_exporting(perturbed)
    assert main(["build", "--out", str(tmp_path / "model"), "--untrained", "--seed", "0"]) == 1
    assert "error: the ONNX model differs from torch by" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
