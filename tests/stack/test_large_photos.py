"""The largest photos that are taken, in the real workers: answered, and in the memory that the documentation states."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.support.images import encode
from tests.support.models import colour_of
from tests.support.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.models import TinyModel

SIDE = 8192
"""Of a square of 64 x 1024 x 1024 pixels, the limit."""
MIB = 1 << 20
STATED = 1200 * MIB
"""docs/photos.md: of one worker, for one photo at the limit."""


class PatientStack(Stack):
    """On a busy machine, seconds of a processor are many seconds."""

    def start_enclave(self, *arguments: object, **options: object) -> object:
        return super().start_enclave(*arguments, call_seconds=120, **options)


@pytest.fixture(scope="module")
def stack(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = PatientStack(colour_model.folder, tmp_path_factory.mktemp("patient"), deadline=120)
    yield stack
    stack.stop()


def test_the_page_states_the_bound_that_is_measured() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "photos.md").read_text("utf-8")
    assert f"needs up to {STATED / (1 << 30):.1f} GiB" in page
    assert f"{SIDE} × {SIDE}" in page


def grown(stack: Stack) -> int:
    """The most memory, in bytes, that one of the workers has had beside what it has at rest."""
    found = []
    for worker in stack.enclave.workers():
        status = Path(f"/proc/{worker.pid}/status").read_text("ascii")
        peak, resting = (int(status.split(f"{name}:")[1].split()[0]) * 1024 for name in ("VmHWM", "VmRSS"))
        found.append(peak - resting)
    return max(found)


def photo(kind: str) -> bytes:
    turned = Image.Exif()
    turned[0x0112] = 6
    colour = colour_of(427)
    image = Image.new("RGB", (SIDE, SIDE), colour)
    match kind:
        case "JPEG without its end":
            return encode(image, "JPEG", quality=90, exif=turned)[:-2]
        case "PNG":
            return encode(image.convert("RGBA"), "PNG", compress_level=1, exif=turned)
        case "progressive JPEG":
            return encode(image, "JPEG", quality=90, progressive=True, subsampling=0, exif=turned)
        case "deep PNG":
            return encode(image.convert("L").convert("I;16"), "PNG", compress_level=1)
        case _:
            return encode(image.convert("RGBA"), "WEBP", lossless=True, method=0, exif=turned)


@pytest.mark.parametrize("kind", ["JPEG without its end", "progressive JPEG", "PNG", "deep PNG", "WebP"])
def test_a_photo_at_the_limit(stack: Stack, kind: str) -> None:
    data = photo(kind)
    answer = stack.client.post("/classify", content=data, headers={"content-type": "image/png"}).json()
    assert answer.get("image") == {"width": SIDE, "height": SIDE}, answer
    if kind != "deep PNG":
        assert answer["predictions"][0]["class_id"] == 427
    most = grown(stack)
    print(f"\n{kind}, and those before: {most // MIB} MiB, {answer['timings_ms']}")
    assert most < STATED


@pytest.mark.parametrize("size", [(8160, 6144), (8192, 6144)])
def test_phones_of_50_megapixels(stack: Stack, size: tuple[int, int]) -> None:
    data = encode(Image.new("1", size), "PNG", compress_level=1)
    answer = stack.client.post("/classify", content=data, headers={"content-type": "image/png"}).json()
    assert answer.get("image") == {"width": size[0], "height": size[1]}, answer


@pytest.mark.parametrize("size", [(8193, 8192), (65535, 1025)])
def test_one_row_more_is_refused(stack: Stack, size: tuple[int, int]) -> None:
    data = encode(Image.new("1", size), "PNG", compress_level=1)
    problem = stack.client.post("/classify", content=data, headers={"content-type": "image/png"}).json()
    assert (problem["code"], problem["limit_pixels"]) == ("too_many_pixels", SIDE * SIDE)
