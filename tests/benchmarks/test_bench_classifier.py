"""Bare loop and peers give the function's answers: the same arithmetic, decoding, preprocessing and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from benchmarks.classifier import Classifier
from benchmarks.inputs import made_photo
from model_build import quantise
from model_build.cli import main
from photo_classifier import answer, manifest, model
from photo_classifier.decode import picture
from tests.support.graphs import Graph
from tests.support.networks import write_network

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def served(folder: Path, photo: bytes) -> tuple[np.ndarray, np.ndarray, list[answer.Prediction]]:
    """The function's input, logits and predictions for a photo."""
    files = manifest.read(folder)
    taken = picture(photo, taken=files.formats, least_side=files.least_side)
    tensor = files.input.of_picture(taken, files.preprocessing)
    logits = model.load(files).logits(tensor, threads=1)
    return tensor, logits, answer.rank(logits[0], files.labels, min(5, len(files.labels)), files.output)


def encoded(folder: Path, width: int, height: int) -> bytes:
    path = folder / "photo.jpeg"
    made_photo(width, height).save(path, "JPEG", quality=88)
    return path.read_bytes()


def test_an_int8_graph_gives_the_functions_logits_to_the_last_bit(tmp_path: Path) -> None:
    float32 = write_network(tmp_path / "float32", layers=3)
    folder = tmp_path / "int8"
    quantise.quantise(folder, float32, photos=None, speed_test=False, say=lambda _line: None)
    photo = encoded(tmp_path, 640, 480)
    tensor, logits, predictions = served(folder, photo)
    classifier = Classifier(folder, threads=1)
    assert np.array_equal(classifier.run(tensor), logits)
    assert classifier.classify(photo) == {"predictions": predictions}


def test_a_processor_that_saturates_sums_computes_them_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    class Session(onnxruntime.InferenceSession):
        def __init__(self, graph: object, options: onnxruntime.SessionOptions, **more: object) -> None:
            given.append((options, more))
            super().__init__(graph, options, **more)

    folder = write_network(tmp_path / "float32", layers=1)
    monkeypatch.setattr(model, "_cuts_sums", lambda: True)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    Classifier(folder)
    ((options, more),) = given
    assert options.get_session_config_entry("session.x64quantprecision") == "1"
    assert more["disabled_optimizers"] == ["WeightBiasQuantization"]


def test_a_large_photo_is_decoded_as_the_function_decodes_it(tmp_path: Path) -> None:
    source = write_network(tmp_path / "source", layers=1)
    folder = tmp_path / "model"
    assert main(["build", "--directory", str(source), "--out", str(folder), "--dct-scaling"]) == 0
    photo = encoded(tmp_path, 2400, 2000)
    tensor, _, predictions = served(folder, photo)
    exact = manifest.read(folder).preprocessing.tensor(picture(photo).image)
    assert not np.array_equal(tensor, exact), "the photo is large enough for DCT scaling"
    classifier = Classifier(folder)
    assert np.array_equal(classifier.tensor(photo), tensor)
    assert classifier.classify(photo) == {"predictions": predictions}


def test_any_model_has_its_own_input_and_scores(tmp_path: Path) -> None:
    """Levels in NHWC to a sigmoid in the function, one value without a label in front."""
    graph = Graph(layout="NHWC", size=(96, 64), batch=1, dtype="uint8", classes=8)
    source = graph.save(tmp_path / "any.onnx")
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"class {index}\n" for index in range(7)))
    options = ["--labels", str(labels), "--label-offset", "1", "--activation", "sigmoid"]
    assert main(["build", "--onnx", str(source), "--out", str(tmp_path / "model"), *options]) == 0
    photo = encoded(tmp_path, 640, 480)
    _, _, predictions = served(tmp_path / "model", photo)
    assert Classifier(tmp_path / "model").classify(photo) == {"predictions": predictions}
