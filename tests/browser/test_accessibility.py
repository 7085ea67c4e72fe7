"""Every page without serious faults of accessibility, by axe-core: in light and dark, with everything opened."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from blindsight.cape.messages import b64
from tests.support.accessibility import SETTLED, faults
from tests.support.cape_front import owner
from tests.support.images import plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

SWAGGER_UIS_OWN = {
    ("label", "input[type=file]"): "its form fields have their names beside them, in a cell and not in a label",
    ("label", "textarea"): "the same",
    ("label", ".json-schema-form-item input"): "the same",
    ("select-name", "select"): "the same",
    ("nested-interactive", ".opblock-summary-control"): "a link to the operation lies inside the button that opens it",
    ("scrollable-region-focusable", ".microlight"): "long examples scroll, and cannot be reached by keyboard alone",
}
"""Faults of its markup, by rule and where, each with what it is. Nothing of colour: that is ours to set."""


FAINT = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((each, index) => each * a + below[index] * (1 - a));
  const luminance = (colour) => {
    const [r, g, b] = colour.map((each) => (each /= 255) <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    if (!element) return [255, 255, 255];
    const colour = parts(getComputedStyle(element).backgroundColor);
    return (colour[3] ?? 1) === 1 ? colour : over(colour, background(element.parentElement));
  };
  const found = new Set();
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some((each) => each.nodeType === Node.TEXT_NODE && each.data.trim())) continue;
    if (!element.checkVisibility() || element.closest("svg, script, style, [disabled], [aria-disabled=true]")) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const below = background(element);
    const [dark, light] = [luminance(over(parts(style.color), below)), luminance(below)].sort((a, b) => a - b);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < least) found.add(`${element.tagName}.${element.className}: ${ratio.toFixed(2)}`);
  }
  return [...found];
}"""
"""Elements whose text has less contrast to what they and those around them are filled with than WCAG 2.2 asks for
(success criterion 1.4.3)."""


@pytest.fixture(scope="module")
def host(tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that is a Cape host, too: with everything that /docs can describe."""
    folder = tmp_path_factory.mktemp("accessibility")
    cape = {"database": f"sqlite:///{folder / 'cape.sqlite'}", "bundles": folder / "bundles", "open_signup": True}
    with tiny_stack.another_gateway(**cape) as gateway:
        yield gateway


@pytest.fixture
def light(browser: Browser) -> Iterator[Page]:
    # Without movement: a colour on its way to another has neither's contrast.
    context = browser.new_context(
        viewport={"width": 1100, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    context.set_default_timeout(120_000)
    yield context.new_page()
    context.close()


@pytest.fixture(params=["light", "dark"])
def page(light: Page, request: pytest.FixtureRequest) -> Page:
    light.emulate_media(color_scheme=request.param)
    return light


def test_the_documentation_with_everything_opened(host: Gateway, light: Page) -> None:
    page = light
    page.goto(f"{host.url}/docs")
    expect(page.locator(".opblock")).to_have_count(23)
    # Swagger UI opens one at a time for a person; all at once from here.
    page.evaluate("document.querySelectorAll('.opblock-summary-control[aria-expanded=false]').forEach(b => b.click())")
    expect(page.locator(".opblock .responses-inner")).to_have_count(23, timeout=60_000)
    page.evaluate(
        "document.querySelectorAll('.models .json-schema-2020-12-expand-deep-button').forEach(b => b.click())"
    )
    expect(page.locator(".models")).to_contain_text("Collapse all")
    # It draws them one after the other: until there are no more of them than half a second before.
    page.wait_for_function(
        "() => { const before = window.drawn; window.drawn = document.querySelectorAll('.models *').length;"
        " return window.drawn === before; }",
        polling=500,
    )
    assert faults(page, SWAGGER_UIS_OWN, colours=False) == []
    # axe-core looks what lies under each letter, which takes minutes on a page of this length.
    assert page.evaluate(FAINT) == []
    # Drawn once: it takes half a minute of a processor.
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_class("dark-mode")
    page.evaluate(SETTLED)
    assert page.evaluate(FAINT) == []
    page.add_style_tag(content=".opblock-summary-description { color: #7a7a7a !important }")
    assert page.evaluate(FAINT) != []


def test_an_answer_in_the_documentation(host: Gateway, page: Page) -> None:
    page.goto(f"{host.url}/docs")
    operation = page.locator("#operations-operations-getInfo")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("max_image_bytes")
    assert faults(page, SWAGGER_UIS_OWN) == []


@pytest.mark.parametrize("target", ["/problems", "/problems#overloaded", "/device"])
def test_the_small_pages(host: Gateway, page: Page, target: str) -> None:
    page.goto(f"{host.url}{target}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert faults(page) == []
    _has_a_background(page)


def test_a_device_that_waits(host: Gateway, page: Page) -> None:
    dana = owner(f"dana-{secrets.token_hex(4)}")
    body = {"username": dana.username, "owner_public_key": b64(dana.public), "proof": dana.token()}
    assert host.client.post("/v1/accounts", json=body).status_code == 201
    asked = host.client.post("/oauth/device/code", data={"device_name": "laptop", "login_hint": dana.username}).json()
    page.goto(asked["verification_uri_complete"])
    expect(page.locator("dl")).to_contain_text("laptop")
    assert faults(page) == []
    _has_a_background(page)


def test_the_page_with_an_answer(tiny_stack: Stack, page: Page, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(plain(905))
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#file").set_input_files(photo)
    expect(page.get_by_label("Classes, most likely first").get_by_role("listitem")).to_have_count(5)
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert faults(page) == []


def test_the_page_with_refusals(tiny_stack: Stack, page: Page, tmp_path: Path) -> None:
    policy = json.loads(tiny_stack.policy.to_json())
    policy["releases"][0]["pcrs"]["2"] = ["ab" * 48]
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#policy-file").set_input_files(file)
    expect(page.locator("#refusal")).to_have_attribute("data-refusal-code", "pcr_mismatch")
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert faults(page) == []


def _has_a_background(page: Page) -> None:
    """That of the scheme: in the browser's own, text is legible on either, and the page was not made for it."""
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == ("rgb(18, 22, 27)" if dark else "rgb(244, 246, 248)")
