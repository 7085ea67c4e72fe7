"""The plain program for browsers in docs/from-an-app.md, on the gateway's origin and on another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.apps import program
from tests.support.images import plain
from tests.support.models import label_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.support.stack import Stack

CLASS = 905
OUTCOME = """
async (bytes) => {
    const file = new File([new Uint8Array(bytes)], "photo.png", { type: "image/png" });
    return await classify(file).then((found) => found[0].label, (error) => `refused: ${error.message}`);
}
"""


def outcome(page: Page, stack: Stack) -> Any:
    code = program(stack.gateway.url, "JavaScript", "js", 1)
    photo = json.dumps(list(plain(CLASS)))
    return page.evaluate(f"async () => {{ {code}; return await ({OUTCOME})({photo}); }}")


def test_on_a_page_of_the_gateways_origin(tiny_stack: Stack, page: Page) -> None:
    page.goto(f"{tiny_stack.gateway.url}/docs")
    assert outcome(page, tiny_stack) == label_of(CLASS)


def test_on_a_page_of_another_origin(tiny_stack: Stack, browser: Browser) -> None:
    """By another name the same server is another origin."""
    page = browser.new_page()
    page.goto(f"http://localhost:{tiny_stack.gateway.port}/docs")
    before = tiny_stack.gateway.metric("images_classified_total")
    assert outcome(page, tiny_stack) == "refused: Failed to fetch"
    assert tiny_stack.gateway.metric("images_classified_total") == before
    page.close()
