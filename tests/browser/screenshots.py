"""README's pictures, by one command: `make screenshots`.

Needs Debian's chromium, and BLINDSIGHT_ASSETS for a photo and a trained model. Look at the pictures before you commit
them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from model_build.build import import_onnx
from tests.browser.conftest import FLAGS
from tests.support.stack import running_stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.support.stack import Stack

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
WIDE: Final = {"width": 1040, "height": 900}
PHONE: Final = {"width": 375, "height": 812}
ADDRESS: Final = "http://localhost:8000"
"""What the pictures show as the gateway's, on whichever port it is."""


def main() -> int:
    """Take all pictures. Exit status 2 where something to take them with is missing."""
    chromium, assets = shutil.which("chromium"), os.environ.get("BLINDSIGHT_ASSETS")
    if chromium is None or not assets:
        missing = (
            "Debian's package chromium" if chromium is None else "BLINDSIGHT_ASSETS, the folder of photos and models"
        )
        print(f"error: the pictures need {missing}", file=sys.stderr)
        return 2
    photo, onnx = Path(assets) / "images" / "dog.jpeg", Path(assets) / "models" / "mobilenet_v2_imagenet.onnx"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("model", "stack"):
            (folder / part).mkdir()
        import_onnx(folder / "model", onnx)
        with running_stack(folder / "model", folder / "stack", workers=1) as stack, sync_playwright() as playwright:
            named = f"--host-resolver-rules=MAP localhost:8000 {stack.gateway.url.removeprefix('http://')}"
            flags = [flag for flag in FLAGS if not flag.startswith("--host-resolver-rules")]
            browser = playwright.chromium.launch(executable_path=chromium, args=[*flags, named])
            take(browser, stack, photo, folder)
            browser.close()
    return 0


def take(browser: Browser, stack: Stack, photo: Path, folder: Path) -> None:
    page = opened(browser, "light", WIDE)
    classified(page, photo)
    keep(page, "page.png", below="#seen")
    refused(page, stack, folder)
    keep(page, "refusal.png", below="#enclave-title")

    page = opened(browser, "dark", WIDE)
    classified(page, photo)
    page.get_by_text("What was checked", exact=True).click()
    keep(page, "dark.png", below="#answer-title")

    page = opened(browser, "light", PHONE)
    classified(page, photo)
    keep(page, "phone.png", below="#answer-title")

    page = opened(browser, "light", WIDE, "/docs")
    documented(page, photo)
    keep(page, "docs.png", below="#operations-classify-classify .live-responses-table .highlight-code")


def opened(browser: Browser, scheme: str, size: dict[str, int], path: str = "/") -> Page:
    options = {"viewport": size, "color_scheme": scheme, "reduced_motion": "reduce", "locale": "en-GB"}
    page = browser.new_context(**options).new_page()
    page.goto(f"{ADDRESS}{path}")
    return page


def classified(page: Page, photo: Path) -> None:
    page.locator("#file").set_input_files(photo)
    expect(page.locator("#answer")).to_be_visible(timeout=60_000)


def refused(page: Page, stack: Stack, folder: Path) -> None:
    policy = json.loads(stack.policy.to_json())
    policy["releases"][0]["pcrs"]["2"] = ["ab" * 48]
    file = folder / "policy.json"
    file.write_text(json.dumps(policy))
    page.locator("#policy-file").set_input_files(file)
    expect(page.locator("#badge")).to_have_text("refused")


def documented(page: Page, photo: Path) -> None:
    operation = page.locator("#operations-classify-classify")
    operation.locator(".opblock-summary-control").click()
    operation.locator("input[type=file]").first.set_input_files(photo)
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("golden retriever", timeout=60_000)


def keep(page: Page, name: str, *, below: str) -> None:
    """Everything down to the end of the card or operation that has `below`, in few bytes: of 256 colours."""
    bottom = page.locator(below).evaluate(
        "part => (part.closest('[aria-labelledby]') ?? part).getBoundingClientRect().bottom + scrollY"
    )
    path = IMAGES / name
    size = page.viewport_size
    assert size
    page.screenshot(
        path=path,
        full_page=True,
        animations="disabled",
        clip={"x": 0, "y": 0, "width": size["width"], "height": bottom + 8},
    )
    with Image.open(path) as image:
        few_colours(image.convert("RGB")).save(path, optimize=True)
    print(f"{path.relative_to(IMAGES.parents[1])}: {path.stat().st_size // 1024} KiB")


def few_colours(image: Image.Image) -> Image.Image:
    """With a palette of 256: half of it for the surfaces as they are, half for the photo, dithered between those."""
    pixels = np.asarray(image, np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, counts = np.unique(pixels, return_counts=True)
    surfaces = colours[np.argsort(counts)[-128:]]
    parts = [channel for colour in surfaces.tolist() for channel in colour.to_bytes(3, "big")]
    palette = Image.new("P", (1, 1))
    palette.putpalette(parts + (image.quantize(128).getpalette() or []))
    indexes = np.array(image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))
    # Pillow looks colours up by less than all their bits: white came out grey.
    for index, colour in enumerate(surfaces):
        indexes[pixels == colour] = index
    reduced = Image.fromarray(indexes, "P")
    reduced.putpalette(palette.getpalette() or [])
    return reduced


if __name__ == "__main__":
    sys.exit(main())
