"""The documentation, used as a person would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.conftest import CLASS

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.support.stack import Stack


def test_an_upload_is_tried_through_the_docs(tiny_stack: Stack, page: Page, requested: list[str], photo: Path) -> None:
    page.goto(f"{tiny_stack.gateway.url}/docs")
    operation = page.locator("#operations-classify-classify")
    operation.locator(".opblock-summary").click()
    operation.locator("input[type=file]").set_input_files(photo)
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table td.response-col_description").last
    expect(answer).to_contain_text(f'"class_id": {CLASS}', timeout=15_000)
    answer.scroll_into_view_if_needed()
    assert all(address.startswith(tiny_stack.gateway.url) for address in requested)


def test_a_batch_has_a_file_picker_in_the_docs(tiny_stack: Stack, page: Page, photo: Path) -> None:
    page.goto(f"{tiny_stack.gateway.url}/docs")
    operation = page.locator("#operations-classify-classifyBatch")
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Add string item").click()
    operation.locator("input[type=file]").first.set_input_files(photo)
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table td.response-col_description").last
    expect(answer).to_contain_text(f'"class_id": {CLASS}', timeout=15_000)
