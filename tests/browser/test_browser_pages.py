"""The pages, used as a person would. With BLINDSIGHT_SCREENSHOTS=folder the pictures for the README are taken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.images import plain

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.stack import Stack

CLASS = 905


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "photo.png"
    file.write_bytes(plain(CLASS))
    return file


def screenshot(page: Page, name: str) -> None:
    folder = os.environ.get("BLINDSIGHT_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / name)


def test_a_photo_is_classified_on_the_page(tiny_stack: Stack, page: Page, requested: list[str], photo: Path) -> None:
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(page.get_by_role("alert")).to_contain_text("SIMULATED")
    page.get_by_label("A JPEG, PNG or WebP photo").set_input_files(photo)
    page.get_by_role("button", name="Classify").click()
    answers = page.get_by_label("Classes, most likely first").get_by_role("listitem")
    expect(answers).to_have_count(5)
    screenshot(page, "page-test.png")
    (best,) = tiny_stack.client.post(
        "/classify", params={"top_k": 1}, content=photo.read_bytes(), headers={"content-type": "image/png"}
    ).json()["predictions"]
    assert best["class_id"] == CLASS
    expect(answers.first).to_contain_text(best["label"])
    assert all(address.startswith(tiny_stack.gateway.url) for address in requested)


def test_a_refusal_is_shown_on_the_page(tiny_stack: Stack, page: Page, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.png"
    wrong.write_text("no picture")
    page.goto(f"{tiny_stack.gateway.url}/")
    page.get_by_label("A JPEG, PNG or WebP photo").set_input_files(wrong)
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_role("status")).to_contain_text("The body is not an image")


def test_an_upload_is_tried_through_the_docs(tiny_stack: Stack, page: Page, requested: list[str], photo: Path) -> None:
    page.goto(f"{tiny_stack.gateway.url}/docs")
    operation = page.locator("#operations-classify-classify_classify_post")
    operation.locator(".opblock-summary").click()
    operation.locator("input[type=file]").set_input_files(photo)
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table td.response-col_description").last
    expect(answer).to_contain_text(f'"class_id": {CLASS}', timeout=15_000)
    answer.scroll_into_view_if_needed()
    screenshot(page, "docs-test.png")
    assert all(address.startswith(tiny_stack.gateway.url) for address in requested)


def test_a_batch_has_a_file_picker_in_the_docs(tiny_stack: Stack, page: Page, photo: Path) -> None:
    page.goto(f"{tiny_stack.gateway.url}/docs")
    operation = page.locator("#operations-classify-classify_batch_classify_batch_post")
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Add string item").click()
    operation.locator("input[type=file]").first.set_input_files(photo)
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table td.response-col_description").last
    expect(answer).to_contain_text(f'"class_id": {CLASS}', timeout=15_000)
