"""Policies of the second format on the page: what they leave open is shown, and an end of theirs ends the verdict."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import CLASS, open_details
from tests.support.models import label_of
from tests.support.stack import root_fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.support.stack import Stack


@pytest.fixture
def policy_file(tiny_stack: Stack, tmp_path: Path) -> Callable[..., Path]:
    """Writes a policy of one release, the stack's own, with changes to it; one to `...` leaves a member out."""

    def write(*, policy: dict[str, Any] | None = None, **changes: Any) -> Path:
        measured = tiny_stack.measured
        release = {
            "kind": "simulated",
            "name": "tiny 1.0",
            "version": "1.0",
            "roots": [root_fingerprint(tiny_stack.state)],
            "pcrs": {str(index): [measured.pcrs[index]] for index in (0, 1, 2)},
            "function_checksums": [measured.function_checksum],
        } | changes
        stated = {name: value for name, value in release.items() if value is not ...}
        file = tmp_path / "policy.json"
        file.write_text(json.dumps({"schema": "blindsight-policy/2", "releases": [stated], **(policy or {})}))
        return file

    return write


def load(page: Page, stack: Stack, policy: Path) -> None:
    page.goto(f"{stack.gateway.url}/")
    expect(page.locator("#verdict")).to_contain_text("Verified")
    page.locator("#policy-file").set_input_files(policy)
    expect(page.locator("#policy-source")).to_contain_text("the policy that you loaded")


def test_the_release_is_named(tiny_stack: Stack, page: Page, policy_file: Callable[..., Path]) -> None:
    load(page, tiny_stack, policy_file(name='<b>1.0</b> & "so on"'))
    expect(page.locator("#verdict")).to_contain_text('release “<b>1.0</b> & "so on"” of your policy')
    open_details(page)
    expect(page.locator("#facts")).to_contain_text("<b>1.0</b>")
    expect(page.locator("#notice")).not_to_contain_text("LEAVES OPEN")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"function_checksums": ..., "any_function": True}, ["function"]),
        ({"pcrs": ..., "function_checksums": ..., "any_code": True, "any_function": True}, ["code", "function"]),
    ],
    ids=["the function", "everything"],
)
def test_what_a_policy_leaves_open_is_shown_before_and_beside_the_answer(
    tiny_stack: Stack, page: Page, photo: Path, policy_file: Callable[..., Path], *, changes: Any, parts: list[str]
) -> None:
    load(page, tiny_stack, policy_file(**changes))
    notice, verdict = page.locator("#notice"), page.locator("#verdict")
    expect(verdict).to_contain_text(f"leaves open the {' and the '.join(parts)}")
    expect(verdict).to_have_attribute("data-state", "caution")
    expect(notice).to_be_visible()
    page.locator("#file").set_input_files(photo)
    expect(page.get_by_label("Classes, most likely first")).to_contain_text(label_of(CLASS))
    for part in parts:
        expect(notice).to_contain_text(f"POLICY LEAVES OPEN: the {part}.")
    if "code" not in parts:
        expect(notice).not_to_contain_text("POLICY LEAVES OPEN: the code.")


def test_a_policy_that_does_not_say_enough_is_not_used(
    tiny_stack: Stack, page: Page, photo: Path, policy_file: Callable[..., Path]
) -> None:
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(page.locator("#verdict")).to_contain_text("Verified")
    page.locator("#policy-file").set_input_files(policy_file(function_checksums=...))
    expect(page.locator("#refusal")).to_have_attribute("data-refusal-code", "function_not_pinned")
    expect(page.locator("#refusal")).to_contain_text("any_function")
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#status")).to_contain_text("Not sent")


def test_a_recalled_release_is_refused(tiny_stack: Stack, page: Page, policy_file: Callable[..., Path]) -> None:
    recalled = policy_file(policy={"refuse": [tiny_stack.measured.function_checksum]})
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#policy-file").set_input_files(recalled)
    expect(page.locator("#refusal")).to_have_attribute("data-refusal-code", "release_recalled")
    expect(page.locator("#refusal")).to_contain_text("step 9")


@pytest.mark.parametrize("what", ["policy", "release"])
def test_the_end_of_policy_or_release_takes_the_verdict_and_the_answer_away(
    tiny_stack: Stack, page: Page, photo: Path, policy_file: Callable[..., Path], what: str
) -> None:
    page.clock.install(time=datetime.now(UTC))
    end = (datetime.now(UTC) + timedelta(seconds=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
    ending = policy_file(policy={"expires": end}) if what == "policy" else policy_file(expires=end)
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
    load(page, tiny_stack, ending)
    page.locator("#file").set_input_files(photo)
    expect(page.get_by_label("Classes, most likely first")).to_contain_text(label_of(CLASS))
    open_details(page)
    expect(page.locator("#facts")).to_contain_text("Accepted until")
    # Less than the two minutes for which evidence is relied on.
    page.clock.fast_forward(100_000)
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#refusal")).to_have_attribute("data-refusal-code", f"{what}_expired")
    expect(page.locator("#verdict")).to_contain_text("Not verified")
    expect(page.locator("#answer")).to_be_hidden()
    expect(page.locator("#evidence")).to_be_hidden()
    assert len(posted) == 1
