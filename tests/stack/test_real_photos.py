"""A trained ImageNet model through the whole stack: the answers are right, not only well-formed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from photo_classifier.transform import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack

CLASS_STEP = 9
"""The photos are of every ninth class, the first being class 0."""
BATCH = 16


@pytest.mark.parametrize(
    ("photo", "label", "least"), [("dog.jpeg", "golden retriever", 0.9), ("cat.jpeg", "tabby", 0.5)]
)
def test_the_examples_photos(mobilenet_stack: Stack, assets: Path, photo: str, label: str, least: float) -> None:
    with (assets / "images" / photo).open("rb") as file:
        answer = mobilenet_stack.client.post("/classify", files={"file": file}).json()
    best = answer["predictions"][0]
    assert best["label"] == label
    assert best["score"] > least
    assert answer["model"]["trained"] is True


def test_imagenet_photos(mobilenet_stack: Stack, assets: Path) -> None:
    photos = sorted((assets / "images" / "imagenet").glob("*.JPEG"))
    assert len(photos) == 112
    results: list[dict[str, Any]] = []
    for start in range(0, len(photos), BATCH):
        files = [("files", path.read_bytes()) for path in photos[start : start + BATCH]]
        results += mobilenet_stack.client.post("/classify/batch", files=files).json()["results"]
    ids = [[prediction["class_id"] for prediction in result["predictions"]] for result in results]
    top1 = np.mean([found[0] == index * CLASS_STEP for index, found in enumerate(ids)])
    top5 = np.mean([index * CLASS_STEP in found for index, found in enumerate(ids)])
    print(f"\ntop-1 {top1:.3f}, top-5 {top5:.3f} over {len(photos)} photos")
    assert top1 >= 0.90
    assert top5 >= 0.97


def test_the_tensor_of_the_dog_is_answered_as_onnx_runtime_answers_it(mobilenet_stack: Stack, assets: Path) -> None:
    tensor = Preprocessing().tensor(Image.open(assets / "images" / "dog.jpeg").convert("RGB"))
    body = tensor.tobytes()
    assert len(body) == 602112
    answer = mobilenet_stack.client.post(
        "/classify", content=body, headers={"content-type": "application/octet-stream"}
    ).json()
    session = ort.InferenceSession(str(assets / "models" / "mobilenet_v2_imagenet.onnx"))
    logits = session.run(["output"], {"input": tensor})[0][0].astype(np.float64)
    scores = np.exp(logits - logits.max())
    scores /= scores.sum()
    best = np.argsort(-scores)[:5]
    assert [prediction["class_id"] for prediction in answer["predictions"]] == best.tolist()
    for prediction, score in zip(answer["predictions"], scores[best], strict=True):
        assert abs(prediction["score"] - score) < 1e-4
    assert answer["image"] is None
    json.dumps(answer)
