"""Without network or `MODEL`, the offline model serves: right answers, ten classes, and a notice that says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import model_build
from model_build import contract
from model_build.offline import data, evaluate
from tests.support.images import plain
from tests.support.problems import check
from tests.support.processes import environment
from tests.support.stack import Stack, running_stack
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_ACCURACY = 0.88
"""On 500 pictures; the card has the figure of all 10,000, which chance may exceed by three points."""

OFFLINE_MODEL = Path(model_build.__file__).parent / "offline_model"


@pytest.fixture(scope="module")
def offline_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(OFFLINE_MODEL, tmp_path_factory.mktemp("offline-stack"), workers=1) as stack:
        yield stack


def classify(stack: Stack, photo: bytes) -> dict[str, Any]:
    answer = stack.client.post("/classify", files={"file": photo})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_public_sample_photo_of_a_cat_is_a_cat(offline_stack: Stack) -> None:
    import skimage  # heavy, and only its sample pictures are wanted

    photo = Path(skimage.__file__).parent / "data" / "chelsea.png"
    answer = classify(offline_stack, photo.read_bytes())
    assert answer["predictions"][0]["label"] == "cat"
    assert answer["model"]["name"] == "offline-cifar10"
    assert answer["model"]["trained"] is True


@pytest.mark.parametrize("label", ["dog", "cat"])
def test_the_examples_photos(offline_stack: Stack, assets: Path, label: str) -> None:
    answer = classify(offline_stack, (assets / "images" / f"{label}.jpeg").read_bytes())
    assert answer["predictions"][0]["label"] == label


def test_the_accuracy_of_the_card_through_the_service(offline_stack: Stack, assets: Path) -> None:
    """JPEG files through `/classify/batch`; `BLINDSIGHT_TEST_EVERY=1` takes all 10,000 instead of every hundredth."""
    every = int(os.environ.get("BLINDSIGHT_TEST_EVERY", "100"))
    archive = assets / "datasets" / "cifar10_jpeg.zip"
    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.startswith("test/") and name.endswith(".jpg"))[
            ::every
        ]
        photos = [(name.split("/")[1], opened.read(name)) for name in names]
    right = 0
    for start in range(0, len(photos), 50):
        batch = photos[start : start + 50]
        answer = offline_stack.client.post("/classify/batch", files=[("files", photo) for _, photo in batch])
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        assert len(results) == len(batch)
        right += sum(
            result["predictions"][0]["label"] == label for (label, _), result in zip(batch, results, strict=True)
        )
    alone = evaluate.evaluate_crops(
        contract.Classifier(OFFLINE_MODEL / "offline.onnx"),
        data.crops(archive, "test", data.class_names(archive), every),
    )
    print(f"{right} of {len(photos)} right through the service, {alone.accuracy:.2%} by ONNX Runtime alone")
    assert right / len(photos) == pytest.approx(alone.accuracy, abs=0.002)
    assert alone.accuracy >= LEAST_ACCURACY


def test_the_answer_says_which_model_and_how_to_get_the_other(offline_stack: Stack) -> None:
    notice = classify(offline_stack, plain(5))["notice"]
    assert notice.startswith("OFFLINE MODEL")
    assert "MODEL=" in notice
    assert offline_stack.client.get("/info").json()["notices"] == [notice]


def test_ten_classes_are_the_bounds_of_everything(offline_stack: Stack) -> None:
    client = offline_stack.client
    ten = client.post("/classify", params={"top_k": 10}, files={"file": plain(5)}).json()["predictions"]
    assert len(ten) == len({prediction["label"] for prediction in ten}) == 10
    assert sum(prediction["score"] for prediction in ten) == pytest.approx(1)
    problem = check(client.post("/classify", params={"top_k": 11}, files={"file": plain(5)}), "invalid_top_k")
    assert problem["maximum"] == 10
    operation = client.get("/openapi.json").json()["paths"]["/classify"]["post"]
    assert {each["name"]: each["schema"].get("maximum") for each in operation["parameters"]} == {
        "top_k": 10,
        "receipt": None,
    }


def test_up_without_network_serves_it_and_says_so(tmp_path: Path) -> None:
    """A dead proxy and an empty cache stand for a machine without network."""
    output = tmp_path / "output"
    ports = ["--port", str(free_port()), "--tls-port", "0", "--metrics-port", "0", "--workers", "1"]
    nowhere = "http://127.0.0.1:9"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "blindsight_cli.main", "up", *ports, "--state", str(tmp_path / "state")],
            cwd=tmp_path,
            env={
                **environment(tmp_path),
                "HTTPS_PROXY": nowhere,
                "https_proxy": nowhere,
                "BLINDSIGHT_CACHE": str(tmp_path / "cache"),
                "COLUMNS": "160",
            },
            stdout=file,
            stderr=file,
        )
    try:
        wait_until("the banner", lambda: "Ctrl-C" in output.read_text() or process.poll() is not None, seconds=90)
    finally:
        os.kill(process.pid, signal.SIGINT)
        process.wait(60)
    said = output.read_text()
    assert "offline-cifar10 2, 10 classes, trained" in said
    assert "The pretrained weights cannot be had now" in said
