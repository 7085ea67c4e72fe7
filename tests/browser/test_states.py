"""What the page at / shows while it waits, when it cannot go on, and of an enclave or a model that proves nothing."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import CLASS
from tests.support.models import label_of, write_tiny_model
from tests.support.stack import running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page, Route

    from tests.support.stack import Stack


def bars(page: Page) -> Locator:
    return page.get_by_label("Classes, most likely first").get_by_role("listitem")


def hold(page: Page, pattern: str) -> list[Route]:
    """Answer nothing that matches until its route is continued."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(pattern, keep)
    return held


def stages(page: Page) -> dict[str, str | None]:
    return {
        name: page.locator(f"#stage-{name}").get_attribute("data-state")
        for name in ("check", "seal", "classify", "receipt")
    }


def test_the_photo_is_shown_before_anything_was_answered(tiny_stack: Stack, page: Page, photo: Path) -> None:
    held = hold(page, "**/attestation*")
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#preview")).to_be_visible()
    expect(page.locator("#photo-name")).to_have_text("photo.png")
    expect(page.locator("#photo-size")).to_contain_text("×")
    expect(page.locator("#stage-check")).to_have_attribute("data-state", "active")
    assert stages(page) == {"check": "active", "seal": "pending", "classify": "pending", "receipt": "pending"}
    posted = hold(page, "**/ohttp")
    held[0].continue_()
    expect(page.locator("#stage-classify")).to_have_attribute("data-state", "active")
    assert stages(page) == {"check": "done", "seal": "done", "classify": "active", "receipt": "pending"}
    posted[0].continue_()
    expect(bars(page)).to_have_count(5)
    assert set(stages(page).values()) == {"done"}


def test_bars_grow_to_their_scores(tiny_stack: Stack, page: Page, photo: Path) -> None:
    page.emulate_media(reduced_motion="no-preference")
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#file").set_input_files(photo)
    fill = bars(page).first.locator(".track > span")
    expect(fill).to_have_attribute("style", re.compile(r"width: \d"))
    assert fill.evaluate("bar => getComputedStyle(bar).transitionProperty") == "width"
    shares = bars(page).evaluate_all("items => items.map(item => item.querySelector('.track > span').style.width)")
    scores = bars(page).evaluate_all("items => items.map(item => item.querySelector('.names > :last-child').innerText)")
    assert [round(float(share.rstrip("%")), 1) for share in shares] == [float(score.rstrip("%")) for score in scores]
    page.emulate_media(reduced_motion="reduce")
    assert fill.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0s"


def test_it_says_that_it_takes_long_and_can_be_cancelled(tiny_stack: Stack, page: Page, photo: Path) -> None:
    page.clock.install()
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(page.locator("#finding")).to_have_attribute("data-state", "caution")
    held = hold(page, "**/ohttp")
    with page.expect_request("**/ohttp"):
        page.locator("#file").set_input_files(photo)
    expect(page.locator("#slow")).to_be_hidden()
    page.clock.run_for(6000)
    expect(page.locator("#slow")).to_contain_text("This takes long")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#status")).to_have_text("Cancelled.")
    expect(page.locator("#slow")).to_be_hidden()
    assert len(held) == 1
    page.unroute("**/ohttp")
    page.locator("#file").set_input_files(photo)
    expect(bars(page).first).to_contain_text(label_of(CLASS))


def test_what_may_pass_can_be_tried_again(tiny_stack: Stack, page: Page, photo: Path) -> None:
    busy = {"type": "/problems#overloaded", "title": "", "status": 503, "detail": "All 64 places are taken."}
    problem = json.dumps({**busy, "code": "overloaded", "retryable": True})
    page.goto(f"{tiny_stack.gateway.url}/")
    page.route(
        "**/ohttp", lambda route: route.fulfill(status=503, body=problem, content_type="application/problem+json")
    )
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#problem")).to_contain_text("All 64 places are taken.")
    expect(page.locator("#stage-classify")).to_have_attribute("data-state", "failed")
    page.unroute("**/ohttp")
    page.get_by_role("button", name="Try again").click()
    expect(bars(page).first).to_contain_text(label_of(CLASS))
    expect(page.locator("#problem")).to_be_hidden()
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


@pytest.mark.parametrize("when", ["before the enclave is verified", "before the photo is sent"])
def test_offline_is_said_and_it_goes_on_by_itself(
    tiny_stack: Stack, browser: Browser, photo: Path, *, when: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(page.locator("#finding")).to_have_attribute("data-state", "caution")
    context.set_offline(True)
    if when == "before the enclave is verified":
        page.get_by_role("button", name="Verify again").click()
        shown = page.locator("#refusal")
    else:
        page.locator("#file").set_input_files(photo)
        shown = page.locator("#problem")
    expect(shown).to_contain_text("This device is offline.")
    expect(shown).to_have_attribute("data-refusal-code", "unreachable")
    context.set_offline(False)
    expect(shown).to_be_hidden()
    expect(page.locator("#finding")).to_have_attribute("data-state", "caution")
    if when == "before the photo is sent":
        expect(bars(page).first).to_contain_text(label_of(CLASS))
    context.close()


def test_a_gateway_that_is_gone_is_no_refusal(tiny_stack: Stack, page: Page) -> None:
    page.route("**/attestation*", lambda route: route.abort())
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(page.locator("#badge")).to_have_text("not reached")
    expect(page.locator("#refusal")).to_contain_text("No connection.")
    expect(page.locator("#refusal")).not_to_contain_text("offline")


def test_what_was_checked_is_said_in_words(tiny_stack: Stack, page: Page) -> None:
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(page.locator("#badge")).to_have_text("simulated")
    page.get_by_text("What was checked", exact=True).click()
    checks = page.get_by_label("What was checked").get_by_role("listitem")
    expect(checks).to_have_count(6)
    expect(checks.first).to_contain_text("Its evidence proves nothing")
    states = checks.evaluate_all("items => items.map(item => item.dataset.state)")
    assert states == ["caution", *["passed"] * 5]
    expect(page.locator("#checks-note")).to_contain_text("its operator could see and change everything")


def test_a_refusal_shows_which_check_failed(tiny_stack: Stack, page: Page, tmp_path: Path) -> None:
    policy = json.loads(tiny_stack.policy.to_json())
    policy["releases"][0]["pcrs"]["2"] = ["ab" * 48]
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#policy-file").set_input_files(file)
    expect(page.locator("#badge")).to_have_text("refused")
    expect(page.locator("#refusal")).to_contain_text("It runs another program.")
    checks = page.get_by_label("What was checked").get_by_role("listitem")
    expect(checks.nth(2)).to_be_visible()
    states = checks.evaluate_all("items => items.map(item => item.dataset.state)")
    assert states == ["passed", "passed", "failed", "pending", "pending", "pending"]
    page.locator("#file").set_input_files(file)
    expect(page.locator("#stage-check")).to_have_attribute("data-state", "failed")


@pytest.fixture(scope="module")
def untrained_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("untrained")
    labels = [f"noise {index}" for index in range(6)]
    write_tiny_model(folder, np.ones((6, 3)), np.zeros(6), labels, trained=False)
    with running_stack(folder, tmp_path_factory.mktemp("untrained-stack"), workers=1) as stack:
        yield stack


def test_an_untrained_model_cannot_be_mistaken_for_a_trained_one(
    untrained_stack: Stack, tiny_stack: Stack, page: Page, photo: Path
) -> None:
    page.goto(f"{untrained_stack.gateway.url}/")
    expect(page.locator("#notice")).to_contain_text("UNTRAINED WEIGHTS")
    page.locator("#file").set_input_files(photo)
    expect(bars(page)).to_have_count(5)
    expect(page.locator("#tags")).to_have_text(re.compile("simulated enclave.*untrained model: noise"))
    expect(page.locator("#noise")).to_be_visible()
    hatched = bars(page).first.locator(".track > span")
    assert "gradient" in hatched.evaluate("bar => getComputedStyle(bar).backgroundImage")
    # However far down: the notice stays in sight.
    page.get_by_role("heading", name="Check a stored document").scroll_into_view_if_needed()
    expect(page.locator("#notice")).to_be_in_viewport()
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#tags")).to_have_text("simulated enclave")
    expect(page.locator("#noise")).to_be_hidden()
    expect(page.locator("#notice")).not_to_contain_text("UNTRAINED")
