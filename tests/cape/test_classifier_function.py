"""The classifier as a Cape function: on a plain and on an encrypted tensor it answers what ONNX Runtime answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from enclave_function.bundle import build
from photo_classifier.transform import Preprocessing
from tests.support.cape_host import OFFLINE_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.cape_host import Deployed, Person

PREDICT = """
    cape, content = Cape(), open(given["file"], "rb").read()
    function = cape.function(given["function"], checksum=given["checksum"])
    values = [content, cape.encrypt(content), cape.encrypt(content, username="ada")]
    answer([len(content), *(cape.run(function, given["token"], value).decode() for value in values)])
"""


def expected(onnx: Path, labels: list[str], tensor: np.ndarray) -> dict[str, float]:
    logits = ort.InferenceSession(str(onnx)).run(["output"], {"input": tensor})[0][0].astype(np.float64)
    scores = np.exp(logits - logits.max())
    scores /= scores.sum()
    return {labels[index]: float(scores[index]) for index in np.argsort(-scores)[:5]}


def predict(pycape: Callable[..., Any], ada: Person, function: Deployed, tensor: np.ndarray) -> list[dict[str, float]]:
    """The answers for the tensor as it is, encrypted with the own key, and encrypted for ada."""
    file = ada.home / "tensor"
    file.write_bytes(tensor.tobytes())
    given = {"function": function.id, "checksum": function.checksum, "token": ada.token(), "file": str(file)}
    size, *answers = pycape(PREDICT, **given)
    assert size == 602112
    return [json.loads(answer) for answer in answers]


def test_the_offline_model(pycape: Callable[..., Any], ada: Person, classifier: Deployed) -> None:
    picture = Image.effect_mandelbrot((300, 260), (-3, -2.5, 2, 2.5), 100).convert("RGB")
    tensor = Preprocessing().tensor(picture)
    plain, *encrypted = predict(pycape, ada, classifier, tensor)
    assert encrypted == [plain, plain]
    labels = (OFFLINE_MODEL / "cifar10_classes.txt").read_text().splitlines()
    right = expected(OFFLINE_MODEL / "offline.onnx", labels, tensor)
    assert list(plain) == list(right)
    assert plain == pytest.approx(right, abs=1e-4)
    assert len(plain) == 5


def test_the_example_with_mobilenet(pycape: Callable[..., Any], ada: Person, assets: Path, tmp_path: Path) -> None:
    from model_build.build import import_onnx

    onnx = assets / "models" / "mobilenet_v2_imagenet.onnx"
    import_onnx(tmp_path / "model", onnx)
    bundle = tmp_path / "mobilenet.zip"
    build(tmp_path / "model", bundle)
    function = ada.deploy(bundle)
    tensor = Preprocessing().tensor(Image.open(assets / "images" / "dog.jpeg").convert("RGB"))
    plain, *encrypted = predict(pycape, ada, function, tensor)
    assert encrypted == [plain, plain]
    labels = (assets / "models" / "imagenet_classes.txt").read_text().splitlines()
    right = expected(onnx, labels, tensor)
    assert next(iter(plain)) == "golden retriever"
    assert list(plain) == list(right)
    assert plain == pytest.approx(right, abs=1e-4)
