"""Photos in formats that the enclave does not take: turned into JPEG before they are sealed, or named."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import expect

from blindsight import receipts
from tests.support.images import encode, plain
from tests.support.models import colour_of, label_of

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.support.stack import Stack

CLASS = 905

HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200)
OTHERS = {
    "HEIC": HEIC,
    "HEIF": b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1miaf" + bytes(200),
    "AVIF": b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf" + bytes(200),
    "JPEG 2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(200),
    "JPEG XL": b"\xff\x0a" + bytes(200),
    "TIFF or camera raw": b"II*\x00" + bytes(200),
    "camera raw": b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x00crx isom" + bytes(200),
    "GIF": b"GIF89a" + bytes(200),
    "PDF": b"%PDF-1.7\n" + bytes(200),
    "SVG": b'<?xml version="1.0"?>\n<!-- no picture -->' + bytes(200),
    "video": b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42" + bytes(200),
}
"""By the name that is to be said. None of them can be decoded."""

# A browser that decodes HEIC, as Safari does: for it, an object URL of such a file is one of a picture.
LIKE_SAFARI = """picture => {
    const decoded = new Blob([Uint8Array.from(atob(picture), byte => byte.charCodeAt(0))], { type: "image/png" });
    const create = URL.createObjectURL;
    URL.createObjectURL = file => create(file.name?.endsWith(".heic") ? decoded : file);
}"""


def first_bar(page: Page) -> str:
    bars = page.get_by_label("Classes, most likely first").get_by_role("listitem")
    expect(bars).to_have_count(5)
    return bars.first.inner_text()


def posts(page: Page) -> list[bytes]:
    bodies: list[bytes] = []
    page.on("request", lambda asked: bodies.append(asked.post_data_buffer or b"") if asked.method == "POST" else None)
    return bodies


@pytest.mark.parametrize("name", OTHERS)
def test_what_cannot_be_read_is_named_and_not_sent(tiny_stack: Stack, page: Page, tmp_path: Path, name: str) -> None:
    file = tmp_path / "photo"
    file.write_bytes(OTHERS[name])
    sent = posts(page)
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#file").set_input_files(file)
    problem = page.locator("#problem")
    expect(problem).to_have_attribute("data-refusal-code", "unsupported_format")
    expect(problem).to_contain_text(f"format {name},")
    expect(page.locator("#no-preview")).to_be_visible()
    assert sent == []


@pytest.mark.parametrize("file_type", ["BMP", "GIF", "AVIF"])
def test_what_the_browser_reads_is_turned_into_jpeg(
    tiny_stack: Stack, page: Page, tmp_path: Path, file_type: str
) -> None:
    file = tmp_path / "photo"
    file.write_bytes(plain(CLASS, file_type))
    sent = posts(page)
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#file").set_input_files(file)
    assert label_of(CLASS) in first_bar(page)
    expect(page.locator("#converted")).to_contain_text(f"This {file_type} photo was converted to JPEG here")
    expect(page.locator("#receipt")).to_contain_text("Receipt: verified")
    assert len(sent) == 1


def test_heic_is_turned_into_jpeg_where_the_browser_reads_it(tiny_stack: Stack, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "IMG_0001.heic"
    file.write_bytes(HEIC)
    page.goto(f"{tiny_stack.gateway.url}/")
    page.evaluate(LIKE_SAFARI, base64.b64encode(plain(CLASS)).decode())
    page.locator("#file").set_input_files(file)
    assert label_of(CLASS) in first_bar(page)
    expect(page.locator("#converted")).to_contain_text("This HEIC photo was converted to JPEG here")
    expect(page.locator("#preview")).to_be_visible()


def test_the_receipt_is_for_the_jpeg_that_can_be_saved(tiny_stack: Stack, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "photo.gif"
    file.write_bytes(plain(CLASS, "GIF"))
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#file").set_input_files(file)
    assert label_of(CLASS) in first_bar(page)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the receipt").click()
    answer = json.loads(saved.value.path().read_bytes())
    with page.expect_download() as sent:
        page.get_by_role("button", name="Save the JPEG that was sent").click()
    assert sent.value.suggested_filename == "photo.gif.sent.jpg"
    assert receipts.verify(answer, policy=tiny_stack.policy, image=sent.value.path().read_bytes()).image_checked
    file.write_bytes(plain(CLASS))
    page.locator("#file").set_input_files(file)
    expect(page.locator("#converted")).to_be_hidden()
    expect(page.get_by_role("button", name="Save the JPEG that was sent")).to_be_hidden()


def test_large_photos_are_made_smaller_for_the_canvas(tiny_stack: Stack, page: Page, tmp_path: Path) -> None:
    """A phone's Safari has canvases of 16 megapixels at the most, and its cameras more."""
    # Pillow's own palette for it would be wrong: its sums of 17 million pixels overflow.
    image = Image.new("P", (4800, 3600))
    image.putpalette(colour_of(CLASS))
    file = tmp_path / "photo.gif"
    file.write_bytes(encode(image, "GIF"))
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#file").set_input_files(file)
    assert label_of(CLASS) in first_bar(page)
    expect(page.locator("#photo-size")).to_contain_text("4800 × 3600")
    found = re.search(r"converted to JPEG here \((\d+) × (\d+),", page.locator("#converted").inner_text())
    assert found
    width, height = int(found[1]), int(found[2])
    assert 4096 * 4096 * 0.99 < width * height <= 4096 * 4096
    assert width / height == pytest.approx(4800 / 3600, rel=0.001)


@pytest.mark.parametrize("file_type", ["JPEG", "PNG", "WEBP"])
def test_what_the_enclave_takes_is_sent_as_it_is(tiny_stack: Stack, page: Page, tmp_path: Path, file_type: str) -> None:
    options = {"quality": 100} if file_type == "JPEG" else {"lossless": True} if file_type == "WEBP" else {}
    file = tmp_path / "photo"
    file.write_bytes(plain(CLASS, file_type, **options))
    page.goto(f"{tiny_stack.gateway.url}/")
    page.locator("#file").set_input_files(file)
    assert label_of(CLASS) in first_bar(page)
    expect(page.locator("#converted")).to_be_hidden()
