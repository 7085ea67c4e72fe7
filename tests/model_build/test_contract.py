"""An ONNX classifier that breaks the contract is refused, for the reason it breaks it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from model_build.contract import Classifier, check_contract, relative_difference
from model_build.errors import ContractError

NAN = np.full(7, np.nan, dtype=np.float32)


def test_classifier_within_the_contract(tiny):
    assert check_contract(tiny()).classes == 7


def test_logits_are_the_models(tiny):
    batch = np.ones((3, 3, 224, 224), dtype=np.float32)
    logits = Classifier(tiny()).logits(batch)
    assert (logits.shape, logits.dtype) == ((3, 7), np.float32)
    assert np.ptp(logits, axis=0).max() == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"names": ("data", "output")}, "maps `data` to `output`"),
        ({"names": ("input", "probabilities")}, "maps `input` to `probabilities`"),
        ({"batch": 1}, "batch axis of `input` .* is not free"),
        ({"size": 299}, "has shape .*299"),
        ({"dtype": TensorProto.DOUBLE}, "`input` is .*double"),
        ({"tail": [("Softmax", {"axis": 1})]}, "probabilities, not logits"),
        ({"tail": [("Softmax", {"axis": 0})]}, "depends on the others in its batch"),
        ({"tail": [("Unsqueeze", {})]}, "cannot be loaded"),
        ({"bias": NAN}, "not finite"),
        ({"scale": 0.0, "bias": np.ones(7, dtype=np.float32)}, "all its logits are equal"),
    ],
)
def test_breaking_the_contract_is_refused(tiny, options, reason):
    with pytest.raises(ContractError, match=reason):
        check_contract(tiny(**options))


def test_output_that_is_not_a_row_a_picture_is_refused(tiny, classifier):
    path = tiny()
    model = classifier()
    model.graph.node[-1].output[0] = "logits"
    model.graph.node.append(onnx.helper.make_node("Concat", ["logits", "logits"], ["output"], axis=0))
    onnx.save(model, path)
    with pytest.raises(ContractError, match=r"a batch of 5 gives an output of shape \(10, 7\)"):
        check_contract(path)


def test_batch_that_does_not_run_is_refused(tiny, classifier):
    path = tiny()
    model = classifier()
    # Looks up a row by the batch size, of which there are three.
    model.graph.node[-1].output[0] = "logits"
    model.graph.node.extend(
        [
            onnx.helper.make_node("Shape", ["input"], ["batch_size"], end=1),
            onnx.helper.make_node("Gather", ["rows", "batch_size"], ["offset"], axis=0),
            onnx.helper.make_node("Add", ["logits", "offset"], ["output"]),
        ]
    )
    rows = np.zeros((3, 7), dtype=np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(rows, "rows"))
    onnx.save(model, path)
    with pytest.raises(ContractError, match=r"a batch of 5 does not run: .*Gather node.* out of data bounds"):
        check_contract(path)


def test_other_bytes_are_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ContractError, match=r"model\.onnx cannot be loaded"):
        check_contract(tmp_path / "model.onnx")


def test_relative_difference_is_in_parts_of_each_pictures_range():
    reference = np.array([[0.0, 1.0, 2.0], [0.0, 100.0, 200.0]], dtype=np.float32)
    found = reference + np.array([[0.0, 0.5, 0.0], [0.0, 0.0, 10.0]], dtype=np.float32)
    assert relative_difference(reference, found) == pytest.approx(0.25)
    assert relative_difference(reference, reference) == 0.0
    assert relative_difference(reference, np.full_like(reference, np.nan)) == float("inf")
