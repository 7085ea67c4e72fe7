"""Kept documents on the page: checked by the policy that was loaded, at their own time and now."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from playwright.sync_api import expect

from blindsight_conformance import manifest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.stack import Stack

CASES = {case.id: case for case in manifest.load()}


@pytest.fixture
def assets() -> Path:
    named = os.environ.get("BLINDSIGHT_ASSETS")
    if not named:
        pytest.skip("BLINDSIGHT_ASSETS names no folder with genuine attestation documents")
    return Path(named) / "attestation"


def measuring(document: bytes, *indexes: int, **changes: Any) -> dict[str, Any]:
    """A policy that accepts what a genuine document measures."""
    # By another decoder than the page's.
    measured = cbor2.loads(cbor2.loads(document)[2])["pcrs"]
    pcrs = {str(index): [measured[index].hex()] for index in indexes}
    release = {"kind": "nitro", "name": "kept", "pcrs": pcrs, "any_function": True} | changes
    return {"schema": "blindsight-policy/2", "releases": [release]}


def load(page: Page, stack: Stack, policy: dict[str, Any], document: Path, tmp_path: Path) -> None:
    page.goto(f"{stack.gateway.url}/")
    expect(page.locator("#verdict")).to_contain_text("Verified")
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    page.locator("#policy-file").set_input_files(file)
    expect(page.locator("#policy-source")).to_contain_text("the policy that you loaded")
    page.locator("#document-file").set_input_files(document)
    expect(page.locator("#document")).to_be_visible()


@pytest.mark.parametrize("name", ["nitro_production_2023-02.bin", "nitro_production_2025-12.bin"])
def test_a_genuine_document_is_accepted_at_its_own_time_and_refused_now(
    tiny_stack: Stack, page: Page, assets: Path, tmp_path: Path, name: str
) -> None:
    document = (assets / name).read_bytes()
    load(page, tiny_stack, measuring(document, 0, 1, 2), assets / name, tmp_path)
    then, now = page.locator("#document-then"), page.locator("#document-now")
    expect(then).to_contain_text("Genuine Nitro evidence. Accepted by release “kept” of your policy.")
    expect(then).to_contain_text("POLICY LEAVES OPEN: the function.")
    expect(now).to_have_attribute("data-state", "refused")
    expect(page.locator("#document-now-refusal")).to_have_attribute("data-refusal-code", "certificate_expired")
    expect(page.locator("#document-then-refusal")).to_be_hidden()
    page.locator("#document-report summary").click()
    expect(page.locator("#document-steps li")).to_have_count(10)
    expect(page.locator("#document-facts")).to_contain_text(cbor2.loads(cbor2.loads(document)[2])["module_id"])


@pytest.mark.parametrize("name", ["nitro_debug_2022-07.bin", "nitro_debug_2025-12.bin"])
def test_a_genuine_debug_document_is_refused_always(
    tiny_stack: Stack, page: Page, assets: Path, tmp_path: Path, name: str
) -> None:
    document = (assets / name).read_bytes()
    load(page, tiny_stack, measuring(document, 4, any_code=True), assets / name, tmp_path)
    expect(page.locator("#document-then")).to_have_text("Refused, even at its own time.")
    expect(page.locator("#document-then-refusal")).to_have_attribute("data-refusal-code", "debug_document")
    expect(page.locator("#document-now")).to_have_text("Refused now.")
    expect(page.locator("#document-report")).to_be_hidden()


def test_the_enclaves_own_document_passes_in_either_form(tiny_stack: Stack, page: Page, tmp_path: Path) -> None:
    answer = tiny_stack.client.get("/attestation").json()
    kept, raw = tmp_path / "attestation.json", tmp_path / "document.bin"
    kept.write_text(json.dumps(answer))
    raw.write_bytes(base64.b64decode(answer["document"]))
    policy = json.loads(tiny_stack.policy.to_json())
    for file in (kept, raw):
        load(page, tiny_stack, policy, file, tmp_path)
        for when in ("#document-then", "#document-now"):
            expect(page.locator(when)).to_contain_text("SIMULATED ENCLAVE")
            expect(page.locator(when)).to_have_attribute("data-state", "caution")


def test_qemus_document_says_that_it_proves_nothing(tiny_stack: Stack, page: Page, tmp_path: Path) -> None:
    case = CASES["emulated/listed-by-its-kind"]
    file = tmp_path / "qemu.bin"
    file.write_bytes(case.document)
    load(page, tiny_stack, dict(case.policy), file, tmp_path)
    expect(page.locator("#document-then")).to_contain_text("EMULATED ENCLAVE (QEMU): the evidence is unsigned")
    expect(page.locator("#document-then")).to_have_attribute("data-state", "caution")


def test_qemus_document_is_refused_by_any_other_policy(tiny_stack: Stack, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "qemu.bin"
    file.write_bytes(CASES["emulated/listed-by-its-kind"].document)
    load(page, tiny_stack, dict(CASES["accepted/indefinite-outer-map"].policy), file, tmp_path)
    expect(page.locator("#document-then-refusal")).to_have_attribute("data-refusal-code", "wrong_algorithm")


def test_what_is_no_document_is_refused(tiny_stack: Stack, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "no-document.json"
    page.goto(f"{tiny_stack.gateway.url}/")
    expect(page.locator("#verdict")).to_contain_text("Verified")
    file.write_text('{"document": 7}')
    page.locator("#document-file").set_input_files(file)
    expect(page.locator("#document-refusal")).to_have_attribute("data-refusal-code", "not_cose_sign1")
    expect(page.locator("#document")).to_be_hidden()
    file.write_text('{"format": "blindsight-attestation/2", "document": "hEShATgioA=="}')
    page.locator("#document-file").set_input_files(file)
    expect(page.locator("#document-refusal")).to_have_attribute("data-refusal-code", "unsupported_envelope")
