"""Forms as programs write them: the field's two names, parts without a file name, inputs that were left empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import images
from tests.support.problems import CANARY, check

if TYPE_CHECKING:
    import httpx2

    from tests.support.stack import Stack

CLASS, OTHER = 433, 440
PHOTO = images.noisy(CLASS)
"""Bytes that are no text in any encoding but Latin-1."""


def part(name: str, content: bytes, *, filename: str | None = None, more: str = "") -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n{more}\r\n'.encode() + content + b"\r\n"


def post(stack: Stack, *parts: bytes, path: str = "/classify") -> httpx2.Response:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    return stack.client.post(path, content=b"".join(parts) + b"--b--\r\n", headers=headers)


def classes(response: httpx2.Response) -> list[int]:
    assert response.status_code == 200, response.text
    answer = response.json()
    return [result["predictions"][0]["class_id"] for result in answer.get("results", [answer])]


@pytest.mark.parametrize("field", ["file", "image"])
@pytest.mark.parametrize("filename", ["dog.png", "", None])
@pytest.mark.parametrize("more", ["", "Content-Type: image/png\r\n", "Content-Transfer-Encoding: binary\r\n"])
def test_bytes_in_the_field_are_the_image(tiny_stack: Stack, field: str, filename: str | None, more: str) -> None:
    assert classes(post(tiny_stack, part(field, PHOTO, filename=filename, more=more))) == [CLASS]


@pytest.mark.parametrize("field", ["files", "images", "file", "image"])
@pytest.mark.parametrize("filename", ["dog.png", None])
def test_the_same_in_a_batch(tiny_stack: Stack, field: str, filename: str | None) -> None:
    parts = [part(field, content, filename=filename) for content in (PHOTO, images.noisy(OTHER))]
    assert classes(post(tiny_stack, *parts, path="/classify/batch")) == [CLASS, OTHER]


def test_a_large_part_without_a_file_name(tiny_stack: Stack) -> None:
    """Beyond the megabyte that form libraries allow a text."""
    assert classes(post(tiny_stack, part("file", images.padded(CLASS, 3_000_000)))) == [CLASS]


@pytest.mark.parametrize("path", ["/classify", "/classify/batch"])
def test_both_fields_at_once_are_refused(tiny_stack: Stack, path: str) -> None:
    first, second = ("file", "image") if path == "/classify" else ("files", "images")
    for names in ((first, second), (second, first)):
        refused = post(tiny_stack, *(part(name, PHOTO, filename=CANARY) for name in names), path=path)
        detail = check(refused, "bad_multipart")["detail"]
        assert f"'{first}'" in detail
        assert f"'{second}'" in detail


@pytest.mark.parametrize("path", ["/classify", "/classify/batch"])
def test_an_input_that_was_left_empty_does_not_count(tiny_stack: Stack, path: str) -> None:
    """A browser sends it as a file without name and content (HTML standard, 4.10.21.4)."""
    first, second = ("file", "image") if path == "/classify" else ("files", "images")
    empty = part(first, b"", filename="", more="Content-Type: application/octet-stream\r\n")
    assert classes(post(tiny_stack, empty, part(second, PHOTO, filename="a.png"), path=path)) == [CLASS]
    assert classes(post(tiny_stack, part(second, PHOTO, filename="a.png"), empty, path=path)) == [CLASS]
    check(post(tiny_stack, empty, path=path), "empty_body")


def test_an_empty_image_of_several_keeps_its_place(tiny_stack: Stack) -> None:
    """Otherwise the answers after it would be those to other photos."""
    parts = [part("files", PHOTO), part("files", b"", filename=""), part("files", images.noisy(OTHER))]
    answer = post(tiny_stack, *parts, path="/classify/batch").json()
    first, second, third = answer["results"]
    assert [result["predictions"][0]["class_id"] for result in (first, third)] == [CLASS, OTHER]
    assert second["problem"]["code"] == "empty_body"


def test_an_empty_image_is_told_as_such(tiny_stack: Stack) -> None:
    for filename in ("", "dog.png", None):
        check(post(tiny_stack, part("file", b"", filename=filename)), "empty_body")
    check(post(tiny_stack), "empty_body")


@pytest.mark.parametrize("coding", ["base64", "quoted-printable", "7bit", "x-uuencode"])
def test_a_part_in_another_encoding(tiny_stack: Stack, coding: str) -> None:
    """RFC 7578, 4.7: deprecated; taken for what it is not, it would be "not an image"."""
    response = post(tiny_stack, part("file", PHOTO, filename="x", more=f"Content-Transfer-Encoding: {coding}\r\n"))
    if coding == "7bit":
        assert classes(response) == [CLASS]
    else:
        assert "Content-Transfer-Encoding" in check(response, "bad_multipart")["detail"]


@pytest.mark.parametrize("path", ["/classify", "/classify/batch"])
def test_two_images_where_one_is_asked_for(tiny_stack: Stack, path: str) -> None:
    response = post(tiny_stack, part("image", PHOTO), part("image", PHOTO, filename="x"), path=path)
    if path == "/classify":
        assert "/classify/batch" in check(response, "too_many_images")["detail"]
    else:
        assert classes(response) == [CLASS] * 2


def test_a_name_in_the_other_notation(tiny_stack: Stack) -> None:
    """RFC 8187, which RFC 7578 forbids in forms; some libraries write it for names that are not ASCII."""
    disposition = b"Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''h%C3%BCnd.png\r\n\r\n"
    body = b"--b\r\n" + disposition + PHOTO + b"\r\n--b--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert classes(tiny_stack.client.post("/classify", content=body, headers=headers)) == [CLASS]


def test_parts_are_bounded(tiny_stack: Stack) -> None:
    """Their number, the size of their heads, and of what is not an image."""
    many = post(tiny_stack, part("file", PHOTO), *[part("top_k", b"5")] * 2000)
    assert many.status_code in {400, 422}
    head = post(tiny_stack, part("file", PHOTO, more=f"X-Note: {'a' * 100_000}\r\n"))
    check(head, "bad_multipart")
    text = post(tiny_stack, part("file", PHOTO), part("top_k", b"5" * 50_000))
    check(text, "invalid_top_k")
