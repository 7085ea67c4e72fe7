"""What the function and the builder both need exists twice, because they are separate units; the copies agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import blindsight.strict_json
import model_build.manifest
import model_build.session
import photo_classifier.strict_json
from model_build import arithmetic as builders
from model_build import onnx_file
from model_build.errors import ContractError
from photo_classifier import arithmetic, contract, filters, formats, model
from tests.enclave_function.test_protobuf import FORMS, INTEGERS, graph, head, mutated
from tests.support.graphs import Graph
from tests.support.networks import network
from tests.support.protobufs import field

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTION, BUILDER = Path(photo_classifier.__file__).parent, Path(builders.__file__).parent


@pytest.mark.parametrize("name", ["arithmetic.py", "operators.py", "protobuf.py"])
def test_the_files_are_the_same(name):
    copy = (BUILDER / name).read_text("utf-8").replace("from model_build.", "from photo_classifier.")
    assert copy == (FUNCTION / name).read_text("utf-8")
    assert "This file is the same in the function and in `model_build`" in copy


def corpus() -> list[bytes]:
    generator = np.random.default_rng(1)
    whole = [
        head() + field(7, INTEGERS),
        head() + field(7, graph(integers=False)),
        network(layers=2).SerializeToString(),
        Graph().model().SerializeToString(),
        b"",
        b"PK\x03\x04 no graph",
    ]
    return [*whole, *FORMS.values(), *(mutated(generator, whole[0]) for _ in range(300))]


def test_both_say_the_same_of_every_file(tmp_path):
    """The same precision, or the same reason."""
    path, said = tmp_path / "model.onnx", set()
    for content in corpus():
        path.write_bytes(content)
        function = outcome(lambda content=content: arithmetic.found(memoryview(content)), ValueError)
        builder = outcome(lambda: onnx_file.computes_with_integers(path), ContractError)
        expected = {"int8": "True", "float32": "False"}.get(function)
        assert builder == (expected or f"model.onnx cannot be taken: {function}")
        said.add(function)
    assert {"float32", "int8", "it has 0 graphs and 0 versions, not one"} <= said
    assert len(said) > 10


def outcome(read: Callable[[], object], refusal: type[Exception]) -> str:
    try:
        return str(read())
    except refusal as error:
        return str(error)


def test_both_run_sessions_with_the_same_options(tmp_path, monkeypatch):
    """Both create them of the same graph, and the options that decide what is computed are the same."""
    onnx.save(Graph().model(), tmp_path / "model.onnx")
    seen = []

    class Options(ort.SessionOptions):
        def add_session_config_entry(self, key, value):
            seen[-1]["entries"][key] = value
            super().add_session_config_entry(key, value)

    def session(_graph, _options, **arguments):
        seen[-1] |= arguments
        raise RuntimeError

    monkeypatch.setattr(ort, "SessionOptions", Options)
    monkeypatch.setattr(model, "_cuts_sums", lambda: True)
    monkeypatch.setattr(ort, "InferenceSession", session)
    seen.append({"entries": {}})
    with pytest.raises(model.ModelError):
        model.create_session((tmp_path / "model.onnx").read_bytes(), Options())
    seen.append({"entries": {}})
    with pytest.raises(ContractError):
        model_build.session.Session(tmp_path / "model.onnx", exact=True)
    function, builder = seen
    # It decides how threads wait, and not what they compute.
    del builder["entries"]["session.intra_op.allow_spinning"]
    assert function == builder
    assert function["disabled_optimizers"] == ["WeightBiasQuantization"]


JSON = [
    "{}", '{"a": 1}', "[]", "1", "1.5", '"text"', "null", "NaN", "-Infinity", "1e999", '{"a": 1, "a": 1}',
    '{"a": {"b": 1, "b": 2}}', "[" * 100 + "]" * 100, "[" * 101 + "]" * 101, "[" * 100_000, '{"a":' * 100_000, "{", "",
    " 1 ", "1 2", "1" * 5000, "\ufeff{}", '"\\ud800"', "\x00", '{"a": 1,}', "'a'", "01", '"\n"',
]  # fmt: skip


@pytest.mark.parametrize("text", JSON, ids=range(len(JSON)))
def test_both_parsers_of_json_take_the_same(text):
    def read(loads: Callable[[bytes], object]) -> str:
        return outcome(lambda: loads(text.encode()), ValueError)

    assert read(photo_classifier.strict_json.loads) == read(blindsight.strict_json.loads)


def test_the_bounds_of_manifests_are_the_same():
    from model_build import general
    from photo_classifier import manifest, members

    for name in ("MOST_PIXELS", "MOST_COUNT", "LEAST_NUMBER", "MOST_NUMBER"):
        assert getattr(general, name) == getattr(members, name)
    assert general.MOST_INPUT_BYTES == manifest._MOST_INPUT_BYTES
    assert model_build.manifest._MOST_BYTES == manifest._MOST_BYTES


def test_the_names_in_manifests_are_the_same():
    from model_build import general

    assert get_args(general.Layout) == contract.LAYOUTS
    assert get_args(general.Activation) == contract.ACTIVATIONS
    assert set(get_args(general.Interpolation)) == set(filters.FILTERS)
    assert set(model_build.manifest.FORMATS) == set(formats.DECODABLE)
    assert tuple(model_build.manifest.DEFAULT_FORMATS) == tuple(formats.DEFAULT)
