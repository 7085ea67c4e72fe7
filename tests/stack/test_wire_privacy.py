"""What passes between gateway and enclave tells a listener nothing of image, tensor or answer."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import httpx2
import pytest

from blindsight import Client, Problem
from tests.support.images import noisy, tensor
from tests.support.wire import Recorder, loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.support.models import TinyModel
    from tests.support.stack import Stack

WINDOW = 16
"""Bytes in a row that would give a picture away; a chance hit is as likely as guessing a key."""

IMAGE_CLASS, TENSOR_CLASS = 357, 642


def windows(content: bytes) -> Iterable[bytes]:
    """Every stretch of `WINDOW` bytes."""
    return (content[start : start + WINDOW] for start in range(len(content) - WINDOW + 1))


def finds(recording: bytes, secret: bytes) -> bool:
    """Whether any stretch of `secret`, as it is or in base64, is anywhere in `recording`."""
    wanted = {*windows(secret), *windows(base64.b64encode(secret))}
    return any(window in wanted for window in windows(recording))


def test_the_search_finds_sixteen_bytes_anywhere() -> None:
    secret = noisy(IMAGE_CLASS)
    for start in (0, 1, 4321, len(secret) - WINDOW):
        assert finds(b"before" + secret[start : start + WINDOW] + b"after", secret)
        assert not finds(b"before" + secret[start : start + WINDOW - 1] + b"\xff\x00after", secret)
    assert finds(base64.b64encode(secret)[1000:1020], secret)


def use_every_form(client: httpx2.Client, image: bytes, tensor_bytes: bytes) -> list[str]:
    """Send `image` and the tensor in every way there is; the labels that were answered."""
    requests: list[Callable[[], httpx2.Response]] = [
        lambda: client.post("/classify", files={"file": image}),
        lambda: client.post("/classify", content=image, headers={"content-type": "image/png"}),
        lambda: client.post("/classify", json={"image": base64.b64encode(image).decode()}),
        lambda: client.post("/classify", content=tensor_bytes, headers={"content-type": "application/octet-stream"}),
    ]
    labels = []
    for request in requests:
        answer = request()
        assert answer.status_code == 200, answer.text
        labels += [prediction["label"] for prediction in answer.json()["predictions"]]
    batch = client.post("/classify/batch", files=[("files", image), ("files", tensor_bytes)])
    for result in batch.json()["results"]:
        labels += [prediction["label"] for prediction in result["predictions"]]
    return labels


def test_a_recording_before_the_enclave_holds_nothing(tiny_stack: Stack, colour_model: TinyModel) -> None:
    image, tensor_bytes = noisy(IMAGE_CLASS), tensor(TENSOR_CLASS)
    with Recorder(tiny_stack.enclave_port) as recorder:
        with tiny_stack.another_gateway(enclave=loopback(recorder.port)) as gateway:
            labels = use_every_form(gateway.client, image, tensor_bytes)
            refused = gateway.client.post("/classify", content=b"no picture" * 9, headers={"content-type": "image/png"})
            assert refused.json()["code"] == "not_an_image"
        streams = recorder.streams()
    recording = b"\n".join(streams)
    assert len(recording) > 3 * len(image) + 2 * len(tensor_bytes)  # It all went through here.
    assert colour_model.labels[IMAGE_CLASS] in labels
    assert not finds(recording, image)
    assert not finds(recording, tensor_bytes)
    for secret in {*labels, "predictions", "not_an_image", "no picture", "/classify"}:
        assert secret.encode() not in recording, secret


def test_the_same_search_finds_them_in_front_of_the_gateway(tiny_stack: Stack) -> None:
    image, tensor_bytes = noisy(IMAGE_CLASS), tensor(TENSOR_CLASS)
    with Recorder(tiny_stack.gateway.port) as recorder:
        with httpx2.Client(base_url=f"http://127.0.0.1:{recorder.port}", timeout=30, trust_env=False) as client:
            labels = use_every_form(client, image, tensor_bytes)
        recording = b"\n".join(recorder.streams())
    assert finds(recording, image)
    assert finds(recording, tensor_bytes)
    assert b"predictions" in recording
    assert all(json.dumps(label).encode() in recording for label in labels)


def test_a_recording_in_front_of_the_gateway_holds_nothing_of_what_the_caller_sealed(
    tiny_stack: Stack, colour_model: TinyModel
) -> None:
    image, tensor_bytes = noisy(IMAGE_CLASS), tensor(TENSOR_CLASS)
    with Recorder(tiny_stack.gateway.port) as recorder:
        with Client(f"http://127.0.0.1:{recorder.port}", policy=tiny_stack.policy_file) as client:
            answers = [client.classify(content) for content in (image, tensor_bytes)]
            with pytest.raises(Problem, match="not a JPEG"):
                client.classify(b"no picture" * 9)
        recording = b"\n".join(recorder.streams())
    assert len(recording) > len(image) + len(tensor_bytes)
    labels = {prediction.label for answer in answers for prediction in answer.predictions}
    assert {colour_model.labels[IMAGE_CLASS], colour_model.labels[TENSOR_CLASS]} <= labels
    assert not finds(recording, image)
    assert not finds(recording, tensor_bytes)
    for secret in {*labels, "predictions", "not_an_image", "no picture", "top_k"}:
        assert secret.encode() not in recording, secret
    assert recording.count(b"POST /classify HTTP/1.1") == 3  # One connection, three requests that look alike.
    assert len(recorder.streams()) == 2


def test_the_log_holds_nothing_either(tiny_stack: Stack, colour_model: TinyModel) -> None:
    image = noisy(IMAGE_CLASS)
    use_every_form(tiny_stack.client, image, tensor(TENSOR_CLASS))
    logs = tiny_stack.logs()
    assert "answered" in logs
    for label in colour_model.labels:
        assert label not in logs
