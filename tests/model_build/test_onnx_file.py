"""The operator set, read without the onnx package."""

import onnx
import pytest
from onnx import helper

from model_build import onnx_file
from model_build.errors import ContractError


@pytest.mark.parametrize("version", [13, 17, 18, 300])
def test_opset_is_the_default_domains(tmp_path, classifier, version):
    model = classifier()
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("com.example", 3), helper.make_opsetid("", version)])
    onnx.save(model, tmp_path / "model.onnx")
    assert onnx_file.opset(tmp_path / "model.onnx") == version


def test_no_default_domain_is_refused(tmp_path, classifier):
    model = classifier()
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("com.example", 3))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ContractError, match="no default operator set"):
        onnx_file.opset(tmp_path / "model.onnx")


@pytest.mark.parametrize("content", [b"PK\x03\x04 not protobuf", b"\x08", b"\x3a\xff\xff\xff\x7f", b"\xff" * 40])
def test_other_bytes_are_refused(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ContractError, match="not an ONNX file"):
        onnx_file.opset(tmp_path / "model.onnx")


def test_an_operator_of_unknown_arithmetic_names_what_to_do(tmp_path, classifier):
    onnx.save(classifier(tail=[("Own", {})]), tmp_path / "model.onnx")
    with pytest.raises(ContractError, match="the arithmetic of its operator 'Own' is unknown") as caught:
        onnx_file.computes_with_integers(tmp_path / "model.onnx")
    assert "standard operators" in caught.value.next_step
