"""The pages under a path, behind nginx, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import images
from tests.support.models import label_of
from tests.support.nginx import running_nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.support.stack import Stack

ROOT = "/ml/photos"
CLASS = 617


@pytest.fixture(scope="module", params=["passes it on", "takes it off"])
def url(request: pytest.FixtureRequest, tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where nginx shows the gateway."""
    folder = tmp_path_factory.mktemp("nginx") / "nginx"
    target = "/" if request.param == "takes it off" else ""
    with (
        tiny_stack.another_gateway(root_path=ROOT, proxies="127.0.0.1") as gateway,
        running_nginx(folder, gateway.port, location=f"{ROOT}/", target=target) as port,
    ):
        yield f"http://127.0.0.1:{port}{ROOT}"


def test_a_photo_is_sealed_and_answered(page: Page, requested: list[str], url: str) -> None:
    page.goto(f"{url}/")
    photo = {"name": "photo.png", "mimeType": "image/png", "buffer": images.plain(CLASS)}
    page.set_input_files("#file", files=[photo])  # type: ignore[list-item]  # as Playwright's own examples have it
    page.locator("#bars li").first.wait_for()
    assert label_of(CLASS) in page.locator("#bars li").first.inner_text()
    assert f"{url}/classify" in page.locator("#curl").inner_text()
    assert f"{url}/ohttp" in requested
    assert all(address.startswith((f"{url}/", "blob:", "data:")) for address in requested), requested


def test_the_api_is_tried_there(page: Page, requested: list[str], url: str) -> None:
    page.goto(f"{url}/docs")
    page.locator("#docs .opblock-tag-section").first.wait_for()
    section = page.locator(".opblock", has_text="/livez").first
    section.click()
    section.get_by_role("button", name="Execute").click()
    section.locator(".live-responses-table .response").first.wait_for()
    assert f"{url}/livez" in requested
    assert all(address.startswith((f"{url}/", "blob:", "data:")) for address in requested), requested
