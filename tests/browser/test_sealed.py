"""The page at /, used as a person would: verified, sealed and opened in a real browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from blindsight import receipts
from gateway.api.pages import STATIC
from tests.browser.conftest import CLASS, open_details
from tests.support.models import label_of

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page, Request, Route

    from tests.support.stack import Stack


@pytest.fixture
def other_policy(tiny_stack: Stack, tmp_path: Path) -> Path:
    """A policy that wants other code."""
    policy = json.loads(tiny_stack.policy.to_json())
    policy["releases"][0]["pcrs"]["2"] = ["ab" * 48]
    file = tmp_path / "other-policy.json"
    file.write_text(json.dumps(policy))
    return file


@pytest.fixture
def posted(page: Page) -> list[Request]:
    """What the page sends, but for what it merely asks for."""
    requests: list[Request] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            requests.append(request)

    page.on("request", note)
    return requests


def hold_first_evidence(page: Page) -> list[Route]:
    """Answer no request for evidence that comes first from now on, until its route is continued."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/attestation*", hold)
    return held


def bars(page: Page) -> Locator:
    return page.get_by_label("Classes, most likely first").get_by_role("listitem")


def verdict(page: Page) -> Locator:
    return page.locator("#verdict")


def test_from_the_page_to_five_bars(tiny_stack: Stack, page: Page, requested: list[str], photo: Path) -> None:
    bodies: list[bytes] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            bodies.append(request.post_data_buffer or b"")

    page.on("request", note)
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(page.get_by_role("alert")).to_contain_text("SIMULATED")
    expect(verdict(page)).to_contain_text("Verified, but SIMULATED")
    page.locator("#file").set_input_files(photo)
    expect(bars(page)).to_have_count(5)
    expect(bars(page).first).to_contain_text(label_of(CLASS))
    expect(page.locator("#receipt")).to_contain_text("Receipt: verified")
    expect(page.locator("#traffic")).to_contain_text("bytes")
    open_details(page)
    expect(page.locator("#steps li")).to_have_count(11)
    expect(page.locator("#facts")).to_contain_text("post-quantum")
    assert all(address.startswith((tiny_stack.gateway.url, "blob:")) for address in requested)
    # One request carried the photo, sealed to the hybrid key and padded, and nothing of it in the open.
    (body,) = bodies
    assert body[1:3] == b"\x64\x7a"
    assert len(body) == 7 + 1120 + 32 * 1024 + 16
    assert photo.read_bytes() not in body


def test_the_saved_receipt_verifies_offline(tiny_stack: Stack, page: Page, photo: Path) -> None:
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#file").set_input_files(photo)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the receipt").click()
    assert download.value.suggested_filename == "blindsight-receipt.json"
    answer: dict[str, Any] = json.loads(download.value.path().read_bytes())
    verified = receipts.verify(answer, policy=tiny_stack.policy, image=photo.read_bytes())
    assert verified.image_checked
    assert answer["predictions"][0]["class_id"] == CLASS


def test_an_enclave_that_the_policy_refuses(tiny_stack: Stack, page: Page, photo: Path, other_policy: Path) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(verdict(page)).to_contain_text("Verified")
    page.locator("#policy-file").set_input_files(other_policy)
    refusal = page.locator("#refusal")
    expect(refusal).to_have_attribute("data-refusal-code", "pcr_mismatch")
    expect(refusal).to_contain_text("step 7")
    expect(page.locator("#policy-source")).to_contain_text("the policy that you loaded")
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#status")).to_contain_text("Not sent")
    expect(bars(page)).to_have_count(0)
    assert "POST" not in sent
    # It stays refused when the page is opened again, until the policy is forgotten.
    page.reload()
    expect(refusal).to_have_attribute("data-refusal-code", "pcr_mismatch")
    page.get_by_role("button", name="Forget it").click()
    expect(verdict(page)).to_contain_text("Verified")
    expect(refusal).to_be_hidden()


def test_a_verification_that_comes_late_has_no_say(
    tiny_stack: Stack, page: Page, photo: Path, other_policy: Path
) -> None:
    """The first one's evidence is held back until the second, under another policy, was refused."""
    held = hold_first_evidence(page)
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(verdict(page)).to_contain_text("Verifying")
    page.locator("#policy-file").set_input_files(other_policy)
    expect(page.locator("#refusal")).to_have_attribute("data-refusal-code", "pcr_mismatch")
    with page.expect_response("**/attestation*"):
        held[0].continue_()
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#status")).to_contain_text("Not sent")
    expect(verdict(page)).to_contain_text("Not verified")
    expect(bars(page)).to_have_count(0)


def test_a_refusal_takes_earlier_answers_away(tiny_stack: Stack, page: Page, photo: Path) -> None:
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#file").set_input_files(photo)
    expect(bars(page)).to_have_count(5)
    page.route(
        "**/attestation*", lambda route: route.fulfill(json={"document": "AAAA", "key_configs": "", "model": {}})
    )
    page.get_by_role("button", name="Verify again").click()
    expect(page.locator("#refusal")).to_have_attribute("data-refusal-code", "trailing_bytes")
    expect(bars(page)).to_have_count(0)


def test_a_policy_that_the_gateway_changed(tiny_stack: Stack, page: Page) -> None:
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(page.locator("#policy-source")).to_contain_text("came from the gateway that is being checked")
    changed = json.loads(tiny_stack.policy.to_json()) | {"max_age_seconds": 299}
    page.route("**/policy", lambda route: route.fulfill(json=changed))
    page.reload()
    expect(page.locator("#refusal")).to_have_attribute("data-refusal-code", "policy_changed")
    page.get_by_role("button", name="Accept the changed policy").click()
    expect(verdict(page)).to_contain_text("Verified")
    page.reload()
    expect(verdict(page)).to_contain_text("Verified")


def test_what_is_no_photo_is_the_enclaves_to_refuse(tiny_stack: Stack, page: Page, photo: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.png"
    wrong.write_text("no picture")
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#file").set_input_files(photo)
    expect(bars(page)).to_have_count(5)
    page.locator("#file").set_input_files(wrong)
    problem = page.locator("#problem")
    expect(problem).to_contain_text("The enclave says")
    expect(problem).to_have_attribute("data-refusal-code", "not_an_image")
    expect(bars(page)).to_have_count(0)
    page.locator("#file").set_input_files(photo)
    expect(bars(page)).to_have_count(5)
    expect(problem).to_be_hidden()


def test_a_policy_file_that_is_none(tiny_stack: Stack, page: Page, photo: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "policy.json"
    wrong.write_text('{"schema": "blindsight-policy/1", "roots": [], "pcrs": {}}')
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(verdict(page)).to_contain_text("Verified")
    page.locator("#policy-file").set_input_files(wrong)
    expect(page.locator("#refusal")).to_have_attribute("data-refusal-code", "no_roots")
    # A user who loads a policy wants no other one instead of it.
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#status")).to_contain_text("Not sent")
    page.get_by_role("button", name="Forget it").click()
    expect(verdict(page)).to_contain_text("Verified")
    page.reload()
    expect(verdict(page)).to_contain_text("Verified")


def test_a_photo_that_waits_for_evidence_is_bound_to_its_policy(
    tiny_stack: Stack, page: Page, posted: list[Request], photo: Path, other_policy: Path
) -> None:
    """The evidence is too old for another photo; while new evidence is awaited, a policy is loaded that refuses it."""
    page.clock.install()
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(verdict(page)).to_contain_text("Verified")
    held = hold_first_evidence(page)
    page.clock.fast_forward(130_000)
    with page.expect_request("**/attestation*"):
        page.locator("#file").set_input_files(photo)
    with page.expect_event("requestfailed", lambda request: "/attestation" in request.url):
        page.locator("#policy-file").set_input_files(other_policy)
    expect(page.locator("#refusal")).to_have_attribute("data-refusal-code", "pcr_mismatch")
    assert len(held) == 1
    # A photo under the first policy again: by the time that it is answered, the one that waited would have gone out.
    page.locator("#policy-file").set_input_files(tiny_stack.policy_file)
    expect(verdict(page)).to_contain_text("Verified, but SIMULATED")
    page.locator("#file").set_input_files(photo)
    expect(bars(page)).to_have_count(5)
    assert len(posted) == 1


@pytest.mark.parametrize(
    ("lacks", "code"),
    [
        # What browsers leave out of pages that came over plain HTTP from another machine.
        ("Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined })", "no_webcrypto"),
        ("Object.defineProperty(window, 'localStorage', { get() { throw new Error(); } })", "no_storage"),
    ],
    ids=["cryptography", "storage"],
)
def test_what_the_browser_lacks_is_said(
    tiny_stack: Stack, page: Page, requested: list[str], photo: Path, *, lacks: str, code: str
) -> None:
    page.add_init_script(lacks)
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(page.locator("#refusal")).to_have_attribute("data-refusal-code", code)
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#status")).to_contain_text("Not sent")
    assert not [address for address in requested if "attestation" in address or "ohttp" in address]


def test_the_token_goes_with_the_photo_alone_and_is_not_kept(tiny_stack: Stack, page: Page, photo: Path) -> None:
    token = "bs_" + "t0ken" * 8
    requests: list[Request] = []

    def note(request: Request) -> None:
        requests.append(request)

    page.goto(f"{tiny_stack.gateway.url}/")
    expect(verdict(page)).to_contain_text("Verified")
    page.on("request", note)
    page.get_by_text("Does this gateway require an API token?").click()
    page.get_by_label("API token").fill(token)
    page.get_by_label("API token").press("Enter")
    page.locator("#file").set_input_files(photo)
    expect(bars(page)).to_have_count(5)
    asked = [request for request in requests if request.url.startswith("http")]
    carrying = [request for request in asked if token in str(request.all_headers())]
    assert [request.url for request in carrying] == [f"{tiny_stack.gateway.url}/ohttp"]
    assert {"/policy", "/attestation"} <= {urlsplit(request.url).path for request in asked}
    kept = page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])")
    assert token not in kept


def test_a_file_that_is_too_large_is_not_sent(
    tiny_stack: Stack, page: Page, posted: list[Request], tmp_path: Path
) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(20 * 1024 * 1024 + 1))
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(verdict(page)).to_contain_text("Verified")
    page.locator("#file").set_input_files(large)
    expect(page.locator("#status")).to_contain_text("larger than 20 MiB")
    assert posted == []


def test_by_drop_and_by_paste(tiny_stack: Stack, page: Page, photo: Path) -> None:
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(verdict(page)).to_contain_text("Verified")
    transfer = page.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "photo.png", { type: "image/png" }));
            return transfer;
        }""",
        list(photo.read_bytes()),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(bars(page).first).to_contain_text(label_of(CLASS))
    page.reload()
    expect(bars(page)).to_have_count(0)
    page.evaluate(
        """bytes => {
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([new Uint8Array(bytes)], "photo.png", { type: "image/png" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        }""",
        list(photo.read_bytes()),
    )
    expect(bars(page).first).to_contain_text(label_of(CLASS))


def test_by_keyboard_alone(tiny_stack: Stack, page: Page, photo: Path) -> None:
    # Subscribed from the start: a chooser that opens before the browser was told of it would have no handler.
    page.on("filechooser", lambda _: None)
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(verdict(page)).to_contain_text("Verified")
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        if reached[-1] == "file":
            break
    assert {"policy-file", "again", "SUMMARY", "file"} <= set(reached)
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(photo)
    expect(bars(page)).to_have_count(5)


@pytest.mark.parametrize("width", [320, 360])
def test_on_a_phone(tiny_stack: Stack, page: Page, photo: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.goto(f"{tiny_stack.gateway.url}/")
    open_details(page)
    page.locator("#file").set_input_files(photo)
    expect(bars(page)).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_camera_is_offered_where_there_is_one(tiny_stack: Stack, browser: Browser, photo: Path) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(page.get_by_text("Take a photo")).to_be_visible()
    assert page.locator("#camera").get_attribute("capture") == "environment"
    page.locator("#camera").set_input_files(photo)
    expect(bars(page)).to_have_count(5)
    context.close()


def test_every_field_has_a_name(tiny_stack: Stack, page: Page) -> None:
    page.goto(f"{tiny_stack.gateway.url}/")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, button")]
            .filter(field => !field.labels?.length && !field.textContent.trim()).map(field => field.id)"""
    )
    assert nameless == []
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.get_by_role("heading", level=1).count() == 1


def test_the_single_file_from_disk(tiny_stack: Stack, page: Page, requested: list[str], photo: Path) -> None:
    page.goto((STATIC / "app" / "blindsight.html").as_uri())
    expect(verdict(page)).to_contain_text("load your policy to begin")
    page.get_by_label("The gateway’s address").fill(tiny_stack.gateway.url)
    page.locator("#policy-file").set_input_files(tiny_stack.policy_file)
    expect(verdict(page)).to_contain_text("Verified, but SIMULATED")
    page.locator("#file").set_input_files(photo)
    expect(bars(page).first).to_contain_text(label_of(CLASS))
    asked = {address.rpartition("/")[2].partition("?")[0] for address in requested if address.startswith("http")}
    assert asked == {"attestation", "ohttp"}
    page.get_by_role("button", name="Forget it").click()
    expect(verdict(page)).to_contain_text("load your policy to begin")
