"""The accuracy and equality that the service promises, on real photos with a trained model."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest

from photo_classifier.decode import decode
from photo_classifier.transform import Preprocessing, crop_pixels

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

EVERY_NINTH = 9
"""The photos are of the classes 0, 9, 18, ... in the order of their WordNet ids."""


@pytest.fixture(scope="module")
def photos(assets: Path) -> list[Path]:
    paths = sorted((assets / "images" / "imagenet").glob("*.JPEG"))
    assert len(paths) == 112
    return paths


@pytest.fixture(scope="module")
def mobilenet(assets: Path, tmp_path_factory, write_manifest) -> Path:
    folder = tmp_path_factory.mktemp("mobilenet")
    for name in ("mobilenet_v2_imagenet.onnx", "imagenet_classes.txt"):
        shutil.copy(assets / "models" / name, folder)
    write_manifest(folder, "mobilenet_v2_imagenet.onnx", "imagenet_classes.txt", name="mobilenet_v2")
    return folder


@pytest.fixture(scope="module")
def trained(mobilenet: Path, load_app) -> ModuleType:
    return load_app(mobilenet)


def test_pixels_equal_torchvisions_on_every_photo(photos, assets, torchvision_pixels):
    for path in [*photos, assets / "images" / "dog.jpeg", assets / "images" / "cat.jpeg"]:
        image = decode(path.read_bytes())
        assert np.array_equal(crop_pixels(image, 232, 224), torchvision_pixels(image)), path.name


def test_the_tensor_form_differs_by_at_most_one_grey_level(photos, torchvision_pixels):
    import torch
    from torchvision.models import ResNet50_Weights

    example = ResNet50_Weights.DEFAULT.transforms()
    level = np.array([1 / 255 / std for std in Preprocessing().std]).reshape(3, 1, 1)
    for path in photos:
        image = decode(path.read_bytes())
        expected = example(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)).numpy()
        assert (np.abs(Preprocessing().tensor(image)[0] - expected) / level).max() <= 1.0001, path.name


@pytest.mark.parametrize(
    ("name", "label", "score"), [("dog.jpeg", "golden retriever", 0.9), ("cat.jpeg", "tabby", 0.5)]
)
def test_the_examples_photos(trained, assets, name, label, score):
    best = trained.classify((assets / "images" / name).read_bytes())["predictions"][0]
    assert best["label"] == label
    assert best["score"] > score


def test_accuracy_over_the_photos(trained, photos):
    first = top_five = 0
    for index, path in enumerate(photos):
        found = [p["class_id"] for p in trained.classify(path.read_bytes())["predictions"]]
        first += found[0] == index * EVERY_NINTH
        top_five += index * EVERY_NINTH in found
    assert first >= 0.90 * len(photos)
    assert top_five >= 0.97 * len(photos)


def test_the_tensor_answer_is_onnx_runtimes(trained, mobilenet, assets):
    tensor = Preprocessing().tensor(decode((assets / "images" / "dog.jpeg").read_bytes()))
    assert len(tensor.tobytes()) == 602112
    session = ort.InferenceSession(mobilenet / "mobilenet_v2_imagenet.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(["output"], {"input": tensor})[0][0].astype(np.float64)
    scores = np.exp(logits) / np.exp(logits).sum()
    labels = (mobilenet / "imagenet_classes.txt").read_text().splitlines()
    best = np.argsort(-scores)[:5]
    answer = json.loads(trained.cape_handler(tensor.tobytes()))
    assert list(answer) == [labels[index] for index in best]
    assert list(answer.values()) == pytest.approx([scores[index] for index in best], abs=1e-4)
