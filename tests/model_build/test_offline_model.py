"""The offline model in the repository: is it whole, and is it right?"""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import model_build
from model_build import check, contract, labels
from model_build.offline import card, data, evaluate, export

MODEL = Path(model_build.__file__).with_name("offline_model")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

pytestmark = pytest.mark.skipif(not (MODEL / "model.json").exists(), reason="the offline model is not made yet")


@pytest.fixture(scope="module")
def classifier():
    return contract.Classifier(MODEL / export.ONNX_FILE)


@pytest.fixture(scope="module")
def assets():
    folder = os.environ.get("BLINDSIGHT_ASSETS")
    if not folder:
        pytest.skip("BLINDSIGHT_ASSETS names no folder of test assets")
    return Path(folder)


def test_files_are_those_of_the_manifest():
    made = check.check_directory(MODEL)
    assert made.trained
    assert made.name == export.NAME
    assert made.onnx.bytes <= export.LARGEST_ONNX
    assert labels.read(MODEL / made.labels.file) == CIFAR10


def test_card_is_of_this_model():
    made = check.check_directory(MODEL)
    text = (MODEL / card.FILE_NAME).read_text(encoding="utf-8")
    assert made.digest().hex() in text
    assert "of 10000 test pictures" in text


@pytest.mark.parametrize("name", ["dog", "cat"])
def test_photographs_are_recognised(assets, classifier, name):
    with Image.open(assets / "images" / f"{name}.jpeg") as photo:
        pixels = data.crop_pixels(photo.convert("RGB"))
    (logits,) = classifier.logits(evaluate.normalise(pixels[np.newaxis]))
    assert CIFAR10[logits.argmax()] == name


def test_accuracy_on_200_test_pictures(assets, classifier):
    archive = assets / "datasets" / "cifar10_jpeg.zip"
    assert data.class_names(archive) == CIFAR10
    found = evaluate.evaluate_crops(classifier, data.crops(archive, "test", CIFAR10, every=50))
    assert [sum(row) for row in found.confusion] == [20] * 10
    # The card says 91.2 % of all 10,000; 200 of them may by chance be some points off.
    assert found.accuracy >= 0.86
