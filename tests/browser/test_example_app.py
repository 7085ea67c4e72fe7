"""examples/app.html and the JavaScript client in a real browser, served by another server than the gateway."""

from __future__ import annotations

import json
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import CLASS
from tests.support import node
from tests.support.documented import commands_of
from tests.support.models import label_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page, Request

    from tests.support.stack import Stack


class Quiet(SimpleHTTPRequestHandler):
    """Python's own file server, as `python -m http.server` starts it, without its log."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The example and the built module beside it, as examples/README.md says; its address."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("examples", "clients"):
        (folder / name).symlink_to(node.ROOT / name)
    for command in commands_of("examples/README.md", "A web app"):
        subprocess.run(["bash", "-euc", command.typed], cwd=folder, check=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder / "app")) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def visit(page: Page, site: str, stack: Stack) -> None:
    page.goto(f"{site}/app.html?gateway={stack.gateway.url}")


def test_a_photo_is_sealed_by_the_app_itself(tiny_stack: Stack, site: str, page: Page, photo: Path) -> None:
    sent: list[Request] = []

    def note(request: Request) -> None:
        sent.append(request)

    page.on("request", note)
    visit(page, site, tiny_stack)
    page.get_by_label("Policy").set_input_files(tiny_stack.policy_file)
    expect(page.locator("#status")).to_contain_text("one that your policy accepts")
    report = page.locator("#report").inner_text()
    assert [f"{number:3}. " in report for number in range(1, 12)] == [True] * 11
    page.get_by_label("Photo").set_input_files(photo)
    expect(page.locator("#classes li")).to_have_count(3)
    expect(page.locator("#classes li").first).to_contain_text(label_of(CLASS))
    expect(page.locator("#notice")).to_contain_text("SIMULATED")
    posts = [request for request in sent if request.method == "POST"]
    assert [request.url for request in posts] == [f"{tiny_stack.gateway.url}/ohttp"]
    assert photo.read_bytes() not in (posts[0].post_data_buffer or b"")


def test_nothing_is_sent_to_an_enclave_that_the_policy_refuses(
    tiny_stack: Stack, site: str, page: Page, photo: Path, tmp_path: Path
) -> None:
    members = json.loads(tiny_stack.policy.to_json())
    members["releases"][0]["pcrs"]["2"] = ["ab" * 48]
    other = tmp_path / "policy.json"
    other.write_text(json.dumps(members))
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    visit(page, site, tiny_stack)
    page.get_by_label("Policy").set_input_files(other)
    expect(page.locator("#status")).to_contain_text("pcr_mismatch")
    page.get_by_label("Photo").set_input_files(photo)
    expect(page.locator("#status")).to_contain_text("Nothing was sent")
    assert posts == []


def test_what_the_enclave_refuses_is_said(tiny_stack: Stack, site: str, page: Page, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no photo")
    visit(page, site, tiny_stack)
    page.get_by_label("Policy").set_input_files(tiny_stack.policy_file)
    expect(page.locator("#status")).to_contain_text("one that your policy accepts")
    page.get_by_label("Photo").set_input_files(text)
    expect(page.locator("#status")).to_contain_text("not_an_image")
