"""A real browser, Debian's Chromium, without a network beyond this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.support import chromium
from tests.support.images import plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    # Nothing but this machine has a name: what a page would fetch from elsewhere fails, as with the network cut.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]  # fmt: skip

# Not a bound of what users wait: other tests run at the same time.
expect.set_options(timeout=30_000)


CLASS = 905
"""The colour model's class for the photo."""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "photo.png"
    file.write_bytes(plain(CLASS))
    return file


def open_details(page: Page) -> None:
    """Open what the page at / says of the verification: in words, then for experts."""
    page.get_by_text("What was checked", exact=True).click()
    page.get_by_text("For experts: every step and measurement").click()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one module only: while Playwright runs, no other event loop can run in this thread."""
    executable = chromium.executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test for any script error or console error."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if _is_fault(message) else None)
    yield page
    context.close()
    assert faults == []


def _is_fault(message: ConsoleMessage) -> bool:
    # Chromium notes an answered problem (4xx) or a refused redirect, too; the tests look at those themselves.
    return message.type == "error" and "Failed to load resource" not in message.text


@pytest.fixture
def requested(page: Page) -> list[str]:
    """The addresses that the page asks for."""
    addresses: list[str] = []

    def note(request: Request) -> None:
        addresses.append(request.url)

    page.on("request", note)
    return addresses
