"""The page says of a multi-label model that each class is scored by itself, and of others it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from model_build.cli import main
from tests.support.graphs import Graph
from tests.support.stack import running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.support.stack import Stack

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("multi-label")
    source = Graph(size=(64, 64), tail=(("Sigmoid", {}),)).save(folder / "tags.onnx")
    (folder / "imagenet_classes.txt").write_text("".join(f"tag {index}\n" for index in range(7)))
    assert main(["build", "--onnx", str(source), "--out", str(folder / "model")]) == 0
    with running_stack(folder / "model", folder, workers=1) as running:
        yield running


def test_it_is_said_under_the_bars(page: Page, stack: Stack, photo: Path) -> None:
    page.goto(stack.gateway.url)
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#bars li")).to_have_count(5)
    expect(page.locator("#several")).to_contain_text("several can be right")
    expect(page.locator("#tags")).to_contain_text("multi-label")
    expect(page.locator("#bars")).to_have_attribute("aria-label", "Classes, highest score first")


def test_nothing_of_it_is_said_where_one_class_is_right(page: Page, tiny_stack: Stack, photo: Path) -> None:
    page.goto(tiny_stack.gateway.url)
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#bars li")).to_have_count(5)
    expect(page.locator("#several")).to_be_hidden()
    expect(page.locator("#bars")).to_have_attribute("aria-label", "Classes, most likely first")
