"""Raw bodies: the content decides, whatever kind of image the type says, and if it says none at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.support import images
from tests.support.problems import CANARY, check
from tests.support.rawhttp import Connection

if TYPE_CHECKING:
    import httpx2

    from tests.support.stack import Stack

CLASS = 431
TENSOR_BYTES = 602112
TAKEN = (
    "image/jpeg", "image/jpg", "image/pjpeg", "image/x-png", "image/*", "image/heic", "IMAGE/PNG",
    "image/svg+xml", "application/octet-stream", "binary/octet-stream", "Binary/Octet-Stream; charset=binary", None,
)  # fmt: skip
"""None: without the header field."""


def post(stack: Stack, media_type: str | None, content: bytes, path: str = "/classify") -> httpx2.Response:
    fields = {} if media_type is None else {"content-type": media_type}
    with Connection(stack.gateway.port) as connection:
        connection.start("POST", path, {**fields, "content-length": str(len(content))})
        connection.send(content)
        return connection.response()


@pytest.mark.parametrize("media_type", TAKEN)
def test_an_image_is_taken_under_every_name(tiny_stack: Stack, media_type: str | None) -> None:
    for image_format in ("PNG", "JPEG", "WEBP"):
        response = post(tiny_stack, media_type, images.plain(CLASS, image_format))
        assert response.status_code == 200, response.text
        assert response.json()["predictions"][0]["class_id"] == CLASS


@pytest.mark.parametrize("media_type", ["", " ", ";", "; charset=utf-8"])
def test_an_empty_type_is_none(tiny_stack: Stack, media_type: str) -> None:
    response = post(tiny_stack, media_type, images.plain(CLASS))
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("media_type", [*TAKEN[:4], None, "binary/octet-stream"])
def test_what_is_no_image_is_called_so_under_every_name(tiny_stack: Stack, media_type: str | None) -> None:
    check(post(tiny_stack, media_type, CANARY.encode()), "not_an_image")
    check(post(tiny_stack, media_type, b""), "empty_body")
    gif = images.encode(Image.new("RGB", (4, 4)), "GIF")
    check(post(tiny_stack, media_type, gif), "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["application/octet-stream", "binary/octet-stream", None])
def test_a_tensor_is_taken_under_the_names_of_bytes(tiny_stack: Stack, media_type: str | None) -> None:
    response = post(tiny_stack, media_type, images.tensor(CLASS))
    assert response.status_code == 200, response.text
    assert (response.json()["image"], response.json()["predictions"][0]["class_id"]) == (None, CLASS)


@pytest.mark.parametrize("media_type", ["application/octet-stream", "image/jpeg", None])
def test_an_image_as_long_as_a_tensor_is_an_image(tiny_stack: Stack, media_type: str | None) -> None:
    """What begins like a JPEG, PNG or WebP file is one."""
    photo = images.padded(CLASS, TENSOR_BYTES)
    response = post(tiny_stack, media_type, photo)
    assert len(photo) == TENSOR_BYTES
    assert response.status_code == 200, response.text
    assert response.json()["image"] == {"width": 40, "height": 30}
    assert response.json()["predictions"][0]["class_id"] == CLASS


@pytest.mark.parametrize(
    "media_type",
    [
        "text/html", "application/pdf", "video/mp4", "application/x-www-form-urlencoded", "multipart/mixed; boundary=x",
        "application/vnd.api+json", "text/json", "octet-stream", "image", "images/png", "imagejpeg", "*/*",
    ],
)  # fmt: skip
def test_other_types_are_refused_with_what_is_taken(tiny_stack: Stack, media_type: str) -> None:
    detail = check(post(tiny_stack, media_type, images.plain(CLASS)), "unsupported_media_type")["detail"]
    for taken in ("image/", "application/octet-stream", "multipart/form-data", "application/json", "message/ohttp-req"):
        assert taken in detail, detail


def test_what_curl_says_by_itself_is_explained(tiny_stack: Stack) -> None:
    """`curl --data-binary @photo.jpg` names the type of HTML forms unless it is told another."""
    refused = post(tiny_stack, "application/x-www-form-urlencoded", images.plain(CLASS))
    assert "Content-Type: image/jpeg" in check(refused, "unsupported_media_type")["detail"]


def test_two_types_are_none_to_go_by(tiny_stack: Stack) -> None:
    photo = images.plain(CLASS)
    with Connection(tiny_stack.gateway.port) as connection:
        types = "content-type: image/png\r\ncontent-type: application/json\r\n"
        head = f"POST /classify HTTP/1.1\r\nhost: localhost\r\n{types}content-length: {len(photo)}\r\n\r\n"
        connection.send(head.encode() + photo)
        assert "Content-Type" in check(connection.response(), "bad_request")["detail"]
