"""Photos that people complained about elsewhere, through the whole stack: each is answered as a user would expect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


def answer(stack: Stack, file: Path) -> dict[str, Any]:
    found: dict[str, Any] = stack.client.post("/classify", files={"file": file.read_bytes()}).json()
    return found


@pytest.mark.parametrize(
    ("case", "as_if"),
    [
        ("png_text_2MB_ztxt.png", "plain.png"),
        ("png_xmp_2MB_itxt.png", "plain.png"),
        ("png_badcrc_pHYs.png", "plain.png"),
        ("jpg_no_eoi.jpg", "plain.jpg"),
    ],
)
def test_it_is_answered_as_the_plain_photo_is(mobilenet_stack: Stack, cases: Path, case: str, as_if: str) -> None:
    plain = answer(mobilenet_stack, cases / "images" / as_if)
    found = answer(mobilenet_stack, cases / "images" / case)
    assert found.get("code") is None, found
    assert found["predictions"] == plain["predictions"]
    assert found["image"] == plain["image"]


def test_xmp_does_not_turn_a_photo(mobilenet_stack: Stack, cases: Path) -> None:
    plain = answer(mobilenet_stack, cases / "images" / "plain.jpg")
    assert answer(mobilenet_stack, cases / "images" / "jpg_xmp6.jpg")["image"] == plain["image"]


def test_missing_pixels_are_named(mobilenet_stack: Stack, cases: Path) -> None:
    problem = answer(mobilenet_stack, cases / "images" / "jpg_trunc_98.jpg")
    assert (problem["status"], problem["code"]) == (422, "truncated_image")
