"""A model is read as ONNX and in no other format, so that what is checked and what computes are one graph."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from model_build import onnx_file, optimise
from model_build.cli import main
from model_build.errors import ContractError
from model_build.session import Session
from tests.support.polyglots import ort_format, polyglot

REASON = "is in ORT format"


@pytest.fixture
def in_ort_format(classifier, tmp_path):
    path = tmp_path / "model.ort"
    path.write_bytes(ort_format(classifier(), tmp_path))
    return path


@pytest.fixture
def two_models(classifier, tmp_path):
    """Seven logits for parsers of ONNX, and softmax of them for parsers of the ORT format."""
    path = tmp_path / "model.onnx"
    path.write_bytes(polyglot(classifier(), classifier(tail=[("Softmax", {})]), tmp_path))
    return path


@pytest.mark.parametrize("kind", ["in_ort_format", "two_models"])
def test_every_reader_refuses_it_with_the_reason(kind, request):
    path = request.getfixturevalue(kind)
    for read in (onnx_file.opset, onnx_file.computes_with_integers, Session):
        with pytest.raises(ContractError, match=REASON) as caught:
            read(path)
        assert "ONNX model that it was made from" in caught.value.next_step


@pytest.mark.parametrize("kind", ["in_ort_format", "two_models"])
def test_the_import_refuses_it_in_three_lines(kind, request, tmp_path, capsys):
    path = request.getfixturevalue(kind)
    (tmp_path / "imagenet_classes.txt").write_text("".join(f"class {index}\n" for index in range(7)))
    assert main(["build", "--onnx", str(path), "--out", str(tmp_path / "out")]) == 1
    assert REASON in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_session_reads_onnx_even_if_the_check_lets_the_file_pass(two_models, monkeypatch):
    monkeypatch.setattr(onnx_file, "is_ort_format", lambda _graph: False)
    (values,) = Session(two_models).run(["output"], ("input", np.zeros((1, 3, 224, 224), np.float32)))
    assert values.min() < 0, "logits, no scores"


def test_the_optimiser_states_the_format(classifier, tmp_path, monkeypatch):
    entries = []

    class Options(onnxruntime.SessionOptions):
        def add_session_config_entry(self, key, value):
            entries.append((key, value))
            super().add_session_config_entry(key, value)

    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    onnx.save(classifier(), tmp_path / "a.onnx")
    optimise.optimise(tmp_path / "a.onnx", tmp_path / "b.onnx")
    assert ("session.load_model_format", "ONNX") in entries
    assert ("session.save_model_format", "ONNX") in entries


@pytest.mark.parametrize("name", ["a.json", "a.onnxtxt", "a.textproto", "a.ort"])
def test_the_name_of_a_file_selects_no_format(classifier, tmp_path, name):
    """onnx and ONNX Runtime would read and write other formats by the suffix."""
    (tmp_path / name).write_bytes(classifier(tail=[("Identity", {})]).SerializeToString())
    (tmp_path / "out").mkdir()
    optimise.optimise(tmp_path / name, tmp_path / "out" / name)
    written = onnx.load_from_string((tmp_path / "out" / name).read_bytes())
    assert "Gemm" in {node.op_type for node in written.graph.node}
