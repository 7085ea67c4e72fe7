"""Good requests through HTTP: every body form, the answer's shape, batches."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.support import images
from tests.support.models import colour_of, label_of, normalised

if TYPE_CHECKING:
    from httpx2 import Response

    from tests.support.models import TinyModel
    from tests.support.stack import Stack

CLASS = 427


def ok(response: Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    return body


def requests_for(content: bytes, media_type: str) -> dict[str, dict[str, Any]]:
    """The three body forms of one image."""
    return {
        "multipart": {"files": {"file": ("photo", content, media_type)}},
        "raw": {"content": content, "headers": {"content-type": media_type}},
        "json": {"json": {"image": base64.b64encode(content).decode()}},
    }


@pytest.mark.parametrize(
    ("image_format", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
def test_body_forms_give_equal_answers(tiny_stack: Stack, image_format: str, media_type: str) -> None:
    content = images.plain(CLASS, image_format, size=(61, 47))
    answers = {}
    for form, request in requests_for(content, media_type).items():
        answers[form] = ok(tiny_stack.client.post("/classify", **request))
    for answer in answers.values():
        assert answer.pop("request_id")
        assert answer.pop("timings_ms")
    assert answers["multipart"] == answers["raw"] == answers["json"]
    assert answers["raw"]["image"] == {"width": 61, "height": 47}
    assert answers["raw"]["predictions"][0]["class_id"] == CLASS


def test_answer_has_the_documented_shape(tiny_stack: Stack, colour_model: TinyModel) -> None:
    response = tiny_stack.client.post("/classify", files={"file": ("x.png", images.plain(CLASS))})
    answer = ok(response)
    assert set(answer) == {"request_id", "predictions", "image", "timings_ms", "model", "enclave", "notice"}
    assert answer["request_id"] == response.headers["x-request-id"] == str(uuid.UUID(answer["request_id"]))
    scores = _scores(colour_model, CLASS)
    best = np.argsort(-scores)[:5]
    assert [entry["class_id"] for entry in answer["predictions"]] == best.tolist()
    for rank, (entry, class_id) in enumerate(zip(answer["predictions"], best, strict=True), start=1):
        assert set(entry) == {"rank", "class_id", "label", "score"}
        assert entry["rank"] == rank
        assert entry["label"] == label_of(int(class_id))
        assert entry["score"] == pytest.approx(scores[class_id], abs=1e-4)
    assert answer["model"] == {
        "name": "tiny", "version": "1", "digest": tiny_stack.measured.model_digest, "trained": True,
        "precision": "float32",
    }  # fmt: skip
    assert set(answer["timings_ms"]) == {"decode", "preprocess", "run", "enclave"}
    assert all(isinstance(value, float) and value >= 0 for value in answer["timings_ms"].values())
    enclave = answer["enclave"]
    assert (enclave["kind"], enclave["verified"]) == ("simulated", True)
    assert enclave["function_checksum"] == tiny_stack.measured.function_checksum
    assert enclave["measurements"] == {str(index): value for index, value in tiny_stack.measured.pcrs.items()}
    assert "SIMULATED" in answer["notice"]


def _scores(model: TinyModel, class_id: int) -> np.ndarray:
    colour = normalised(np.array(images.colour_of(class_id)))
    tensor = np.broadcast_to(colour[None, :, None, None], (1, 3, 224, 224))
    return np.asarray(model.scores(tensor)[0])


def test_tensor_form(tiny_stack: Stack) -> None:
    request = {"content": images.tensor(CLASS), "headers": {"content-type": "application/octet-stream"}}
    answer = ok(tiny_stack.client.post("/classify", **request))
    assert answer["image"] is None
    assert answer["predictions"][0]["class_id"] == CLASS
    assert answer["timings_ms"]["decode"] < answer["timings_ms"]["enclave"]


def test_transparency_is_dropped_as_the_page_on_settings_says(tiny_stack: Stack) -> None:
    page = " ".join((Path(__file__).resolve().parents[2] / "docs" / "settings.md").read_text("utf-8").split())
    assert "ignores transparency: it uses the colour beneath a pixel's alpha channel." in page
    clear = Image.new("RGBA", (40, 30), (*colour_of(31), 0))
    answer = tiny_stack.client.post("/classify", files={"file": images.encode(clear, "PNG")}).json()
    assert answer["predictions"][0]["class_id"] == 31


@pytest.mark.parametrize("top_k", [1, 5, 7, 1000])
def test_top_k(tiny_stack: Stack, top_k: int) -> None:
    answer = ok(tiny_stack.client.post(f"/classify?top_k={top_k}", files={"file": images.plain(CLASS)}))
    scores = [entry["score"] for entry in answer["predictions"]]
    assert len(scores) == len({entry["class_id"] for entry in answer["predictions"]}) == top_k
    assert scores == sorted(scores, reverse=True)
    assert top_k < 1000 or sum(scores) == pytest.approx(1, abs=1e-3)


def test_the_media_type_is_only_a_name(tiny_stack: Stack) -> None:
    """The content decides, so a PNG called JPEG, or called nothing, is a PNG."""
    for media_type in ("image/jpeg", "application/octet-stream"):
        request = {"content": images.plain(CLASS), "headers": {"content-type": f"{media_type}; charset=x"}}
        assert ok(tiny_stack.client.post("/classify", **request))["predictions"][0]["class_id"] == CLASS


def test_batch_keeps_order_and_contains_problems(tiny_stack: Stack) -> None:
    classes = [int(class_id) for class_id in np.random.default_rng(5).permutation(900)[:20]]
    contents = [images.plain(class_id) for class_id in classes]
    contents[3], contents[7], contents[11] = b"not an image", b"", images.truncated(b"x")
    files = [("files", (f"{number}.png", content)) for number, content in enumerate(contents)]
    answer = ok(tiny_stack.client.post("/classify/batch?top_k=2", files=files))
    assert set(answer) == {"request_id", "results", "model", "enclave", "notice"}
    assert len(answer["results"]) == len(classes)
    problems = {3: "not_an_image", 7: "empty_body", 11: "truncated_image"}
    for number, (result, class_id) in enumerate(zip(answer["results"], classes, strict=True)):
        if number in problems:
            assert set(result) == {"problem"}
            assert result["problem"]["code"] == problems[number]
            assert result["problem"]["status"] in {400, 422}
        else:
            assert set(result) == {"predictions", "image", "timings_ms"}
            assert [entry["rank"] for entry in result["predictions"]] == [1, 2]
            assert result["predictions"][0]["class_id"] == class_id


def test_a_batch_of_nothing_but_problems_is_answered(tiny_stack: Stack) -> None:
    answer = ok(tiny_stack.client.post("/classify/batch", files=[("files", b"no"), ("files", b"neither")]))
    assert [result["problem"]["code"] for result in answer["results"]] == ["not_an_image"] * 2
    assert answer["model"] is None
    assert answer["enclave"]["verified"] is True
