"""A multi-label model of another kind throughout, end to end: its scores are independent, and all who show them say so.

Sigmoid, grey levels in uint8, NHWC, one picture a run: none of it is ResNet50's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from blindsight import Client
from model_build.cli import main
from tests.support.command import blindsight
from tests.support.graphs import Graph
from tests.support.images import encode
from tests.support.stack import running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.stack import Stack

pytestmark = pytest.mark.stack

GRAPH = Graph(layout="NHWC", size=(64, 96), batch=1, dtype="uint8", classes=7)
PIXELS = np.random.default_rng(5).integers(0, 256, (64, 96, 3), dtype=np.uint8)
"""Of the input's own size, so that no resize changes them."""
PHOTO = encode(Image.fromarray(PIXELS), "PNG")


def scores(pixels: np.ndarray = PIXELS) -> list[float]:
    """By class."""
    return list(1 / (1 + np.exp(-GRAPH.logits(pixels.transpose(2, 0, 1)[np.newaxis])[0])))


def by_class(answer: dict[str, Any]) -> list[float]:
    found = {each["class_id"]: each["score"] for each in answer["predictions"]}
    return [found[class_id] for class_id in range(GRAPH.classes)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("multi-label")
    source = GRAPH.save(folder / "tags.onnx")
    (folder / "imagenet_classes.txt").write_text("".join(f"tag {index}\n" for index in range(GRAPH.classes)))
    arguments = ["--onnx", str(source), "--out", str(folder / "model"), "--activation", "sigmoid"]
    assert main(["build", *arguments]) == 0
    with running_stack(folder / "model", folder, workers=1) as running:
        yield running


def post(stack: Stack, path: str, **body: Any) -> dict[str, Any]:
    answer = httpx2.post(f"{stack.gateway.url}{path}", trust_env=False, **body)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def test_the_answer_has_independent_scores_and_says_so(stack: Stack) -> None:
    answer = post(stack, "/classify?top_k=7&receipt=true", files={"file": PHOTO})
    assert by_class(answer) == pytest.approx(scores(), abs=1e-4)
    assert sum(by_class(answer)) != pytest.approx(1, abs=0.1)
    ranked = [each["score"] for each in answer["predictions"]]
    assert ranked == sorted(ranked, reverse=True)
    assert answer["model"]["multi_label"] is True


def test_each_picture_of_a_batch_is_run_by_itself(stack: Stack) -> None:
    turned = np.ascontiguousarray(PIXELS[::-1])
    files = [("files", PHOTO), ("files", b"no picture"), ("files", encode(Image.fromarray(turned), "PNG"))]
    answer = post(stack, "/classify/batch?top_k=7", files=files)
    first, problem, last = answer["results"]
    assert by_class(first) == pytest.approx(scores(), abs=1e-4)
    assert problem["problem"]["code"] == "not_an_image"
    assert by_class(last) == pytest.approx(scores(turned), abs=1e-4)
    assert answer["model"]["multi_label"] is True


def test_the_tensor_lane_takes_the_models_own_input(stack: Stack) -> None:
    answer = post(stack, "/classify?top_k=7", content=PIXELS.tobytes())
    assert answer["image"] is None
    assert by_class(answer) == pytest.approx(scores(), abs=1e-4)


def test_info_has_the_attested_facts(stack: Stack) -> None:
    model = httpx2.get(f"{stack.gateway.url}/info", trust_env=False).json()["model"]
    assert model["format"] == "blindsight-model/2"
    assert model["input"] == {
        "name": "input",
        "layout": "NHWC",
        "size": [64, 96],
        "batch": 1,
        "dtype": "uint8",
    }
    assert (model["output"]["activation"], model["output"]["applied_by"]) == ("sigmoid", "function")


def test_the_description_says_what_scores_mean(stack: Stack) -> None:
    schemas = httpx2.get(f"{stack.gateway.url}/openapi.json", trust_env=False).json()["components"]["schemas"]
    assert "multi-label" in schemas["Prediction"]["properties"]["score"]["description"]
    assert "do not sum to 1" in schemas["ModelInfo"]["properties"]["multi_label"]["description"]


@pytest.mark.parametrize("lane", ["plain", "sealed"])
def test_the_command_line_says_so(stack: Stack, tmp_path: Path, lane: str) -> None:
    (tmp_path / "photo.png").write_bytes(PHOTO)
    sealed = ("--sealed", "--policy", stack.policy_file) if lane == "sealed" else ()
    done = blindsight(tmp_path, "classify", "--url", stack.gateway.url, *sealed, "photo.png")
    assert done.returncode == 0, done.stderr
    assert "score of its own" in done.stdout
    assert "Several classes can be right" in done.stdout
    assert f"{max(scores()):.1%}" in done.stdout
    done = blindsight(tmp_path, "classify", "--url", stack.gateway.url, *sealed, "--json", "photo.png")
    assert json.loads(done.stdout)["model"]["multi_label"] is True


def test_the_client_says_so(stack: Stack) -> None:
    with Client(stack.gateway.url, policy=stack.policy) as client:
        answer = client.classify(PHOTO, top_k=7)
    assert answer.multi_label
    assert [each.score for each in answer.predictions] == pytest.approx(sorted(scores(), reverse=True), abs=1e-4)
