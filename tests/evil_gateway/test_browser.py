"""The page before the evil gateway, in a real browser: every trick is refused, and no bar is shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from evil_gateway.tricks import TRICKS
from tests.browser.conftest import CLASS
from tests.support.models import label_of

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from evil_gateway.app import EvilGateway
    from evil_gateway.stage import Trick
    from tests.support.stack import Stack

ON_PAGE = [trick for trick in TRICKS.values() if trick.code_on_page is not None]
NEED_A_SECOND = {"old-answer"}


def load_own_policy(tiny_stack: Stack, page: Page, url: str) -> None:
    """As a careful user does."""
    page.goto(url)
    page.evaluate("text => localStorage.setItem('blindsight.policy', text)", tiny_stack.policy.to_json())


@pytest.mark.parametrize("trick", ON_PAGE, ids=lambda trick: trick.name)
def test_the_trick_is_refused_on_the_page(
    tiny_stack: Stack, evil: EvilGateway, evil_url: str, page: Page, photo: Path, *, trick: Trick
) -> None:
    evil.play(None)
    if trick.policy is None:
        load_own_policy(tiny_stack, page, evil_url)
    evil.play(trick)
    page.goto(evil_url)
    refused = page.locator("[data-refusal-code]")
    if trick.policy is not None:
        expect(page.locator("#verdict")).to_contain_text("Verified")
        page.reload()
    if trick.sealed is not None:
        expect(page.locator("#verdict")).to_contain_text("Verified")
        for _ in range(2 if trick.name in NEED_A_SECOND else 1):
            page.locator("#file").set_input_files(photo)
            expect(page.locator("#status")).to_have_text("No answer.", timeout=30_000)
    expect(refused).to_have_attribute("data-refusal-code", str(trick.code_on_page))
    expect(refused).to_be_visible()
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#status")).to_have_text(re.compile(r"No answer\.|Not sent: the enclave is not verified\."))
    assert page.get_by_label("Classes, most likely first").get_by_role("listitem").count() == 0


def test_without_a_trick_the_page_shows_bars(
    tiny_stack: Stack, evil: EvilGateway, evil_url: str, page: Page, photo: Path
) -> None:
    evil.play(None)
    load_own_policy(tiny_stack, page, evil_url)
    page.goto(evil_url)
    page.locator("#file").set_input_files(photo)
    bars = page.get_by_label("Classes, most likely first").get_by_role("listitem")
    expect(bars).to_have_count(5)
    expect(bars.first).to_contain_text(label_of(CLASS))
