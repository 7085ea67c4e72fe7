"""The plain program for browsers in docs/from-an-app.md, on the gateway's origin and on another."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.apps import program
from tests.support.images import plain
from tests.support.models import label_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.support.stack import Stack

CLASS = 905
OUTCOME = """
async (bytes) => {
    const file = new File([new Uint8Array(bytes)], "photo.png", { type: "image/png" });
    return await classify(file).then((found) => found[0].label, (error) => `refused: ${error.message}`);
}
"""


def outcome(page: Page, url: str) -> Any:
    code = program(url, "JavaScript", "js", 1)
    photo = json.dumps(list(plain(CLASS)))
    return page.evaluate(f"async () => {{ {code}; return await ({OUTCOME})({photo}); }}")


def test_on_a_page_of_the_gateways_origin(tiny_stack: Stack, page: Page) -> None:
    page.goto(f"{tiny_stack.gateway.url}/docs")
    assert outcome(page, tiny_stack.gateway.url) == label_of(CLASS)


class App(BaseHTTPRequestHandler):
    """An empty page. The gateway's own pages would not do: their policy (CSP) lets them ask their gateway alone."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>app</title>")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def app(browser: Browser) -> Iterator[Page]:
    """A page that another server gave."""
    with ThreadingHTTPServer(("127.0.0.1", 0), App) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        page = browser.new_page()
        page.goto(f"http://localhost:{server.server_address[1]}/")
        yield page
        page.close()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("listed", [True, False])
def test_on_a_page_of_another_origin(tiny_stack: Stack, app: Page, *, listed: bool) -> None:
    """As docs/from-an-app.md says of `BLINDSIGHT_ORIGINS`."""
    origin = app.evaluate("location.origin")
    with tiny_stack.another_gateway(origins=origin if listed else "http://localhost:1") as gateway:
        assert outcome(app, gateway.url) == (label_of(CLASS) if listed else "refused: Failed to fetch")
        assert gateway.metric("images_classified_total") == listed
