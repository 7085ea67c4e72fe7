"""An int8 model is named as such by the page and by the client, whose receipt covers the precision."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from blindsight import receipts
from blindsight.client import Client
from blindsight.errors import ReceiptError
from model_build.quantise import quantise
from tests.browser.conftest import CLASS
from tests.support.images import plain
from tests.support.networks import write_network
from tests.support.stack import running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.support.stack import Stack

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("int8")
    source = write_network(folder / "float32")
    quantise(folder / "int8", source, photos=None, speed_test=False, say=lambda _line: None)
    with running_stack(folder / "int8", folder, workers=1) as running:
        yield running


def test_the_page_says_int8(page: Page, stack: Stack, photo: Path) -> None:
    page.goto(stack.gateway.url)
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#bars li")).to_have_count(5)
    expect(page.locator("#tags")).to_contain_text("int8")


def test_the_page_says_nothing_of_float32(page: Page, tiny_stack: Stack, photo: Path) -> None:
    page.goto(tiny_stack.gateway.url)
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#bars li")).to_have_count(5)
    expect(page.locator("#tags")).not_to_contain_text("float32")
    expect(page.locator("#tags")).not_to_contain_text("int8")


def test_the_client_has_the_attested_precision_and_the_receipt_covers_it(stack: Stack) -> None:
    with Client(stack.gateway.url, policy=stack.policy) as client:
        found = client.classify(plain(CLASS), with_receipt=True)
    assert found.precision == found.model["precision"] == "int8"
    assert found.archive is not None
    archive = json.loads(json.dumps(found.archive))
    assert receipts.verify(archive, policy=stack.policy).image_checked is False
    archive["model"]["precision"] = "float32"
    with pytest.raises(ReceiptError):
        receipts.verify(archive, policy=stack.policy)
