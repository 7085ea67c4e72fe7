"""A photo that is decoded smaller keeps its contents in their places, whatever its size and orientation.

libjpeg rounds the smaller width and height up, so the smaller image covers up to 7/8 of its last pixel more than the
photo does.
"""

from __future__ import annotations

import io
import itertools
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from photo_classifier import transform
from photo_classifier.contract import Input
from photo_classifier.decode import picture
from photo_classifier.transform import Preprocessing, crop_pixels
from tests.enclave_function.test_transform import noise

RESIZED = 32
LEAST = 2 * RESIZED

BEYOND = {
    1: ("right", "bottom"), 2: ("left", "bottom"), 3: ("left", "top"), 4: ("right", "top"),
    5: ("right", "bottom"), 6: ("left", "bottom"), 7: ("left", "top"), 8: ("right", "top"),
}  # fmt: skip
"""By orientation: the sides on which the smaller image goes beyond the photo; unturned, on the right and below."""


def photo(width: int, height: int, orientation: int = 1) -> bytes:
    """A dark photo with one soft spot in each quarter, each of another strength."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    levels = np.zeros((height, width))
    for (across, down), strength in zip(itertools.product((0.2, 0.8), (0.2, 0.8)), (250, 200, 150, 100), strict=True):
        distance = ((x - across * width) / width) ** 2 + ((y - down * height) / height) ** 2
        levels += strength * np.exp(-distance / 0.005)
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(levels.clip(0, 255).astype(np.uint8)).convert("RGB").save(out, "JPEG", quality=98, exif=exif)
    return out.getvalue()


def places(pixels: np.ndarray) -> np.ndarray:
    """The centre of the brightness in each quarter, in pixels: (4, 2)."""
    side = RESIZED // 2
    y, x = np.mgrid[0:side, 0:side]
    found = []
    for top, left in itertools.product((0, side), (0, side)):
        part = pixels[top : top + side, left : left + side].sum(axis=2, dtype=np.float64)
        found.append([(part * axis).sum() / part.sum() for axis in (x, y)])
    return np.array(found)


def both(data: bytes, preprocessing: Preprocessing, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that the model sees of the photo decoded in full, and decoded smaller."""
    whole, smaller = picture(data), picture(data, least_side=LEAST)
    assert smaller.image.size != whole.image.size
    given = Input(size=(RESIZED, RESIZED), dtype="uint8", layout="NHWC")
    first, second = (given.of_picture(each, preprocessing, threads)[0] for each in (whole, smaller))
    return first, second


@pytest.mark.parametrize("resize", [RESIZED, (RESIZED, RESIZED)], ids=["shorter side", "squashed"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_nothing_moves(orientation, resize):
    """One pixel more than a multiple of eight is the worst: only an eighth of the last column is the photo's."""
    preprocessing = Preprocessing(resize, RESIZED)
    for extra in range(8):
        for width, height in ((512 + extra, 520), (520, 512 + extra), (512 + extra, 519 - extra)):
            whole, smaller = both(photo(width, height, orientation), preprocessing)
            assert np.abs(places(whole) - places(smaller)).max() < 0.05, (width, height)
            assert np.abs(whole.astype(int) - smaller).max() <= 8, (width, height)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_box_is_what_the_photo_covers(orientation, scale):
    for extra in range(scale):
        width, height = LEAST * scale + extra, LEAST * scale + scale - 1 - extra
        found = picture(photo(width, height, orientation), least_side=LEAST)
        left, top, right, bottom = found.box
        sides = Fraction(found.size[0], scale), Fraction(found.size[1], scale)
        assert (right - left, bottom - top) == sides
        assert left == (found.image.width - sides[0] if "left" in BEYOND[orientation] else 0)
        assert top == (found.image.height - sides[1] if "top" in BEYOND[orientation] else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_decoded_in_full_is_used_in_full(orientation):
    for least_side in (None, 1000):
        found = picture(photo(401, 303, orientation), least_side=least_side)
        assert found.box == (0, 0, *found.image.size)
    # Without an end marker it is decoded in full.
    endless = picture(photo(801, 703, orientation)[:-2], least_side=LEAST)
    assert endless.box == (0, 0, *endless.image.size)


def boxes(width: int, height: int) -> list[tuple[float, float, float, float]]:
    return [(0, 0, width - 0.875, height - 0.125), (0.875, 0.5, width, height), (0, 0.375, width - 0.25, height)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", [232, (240, 300)])
def test_the_passes_equal_pillows_resize_of_the_box(resize, interpolation, threads):
    for seed, (width, height) in enumerate([(900, 700), (700, 900), (1200, 600), (400, 1200), (232, 900), (232, 232)]):
        image = noise(width, height, seed)
        for box in boxes(width, height):
            extent = (box[2] - box[0], box[3] - box[1])
            resized = transform._resized(extent, resize)
            left, top = round((resized[0] - 224) / 2.0), round((resized[1] - 224) / 2.0)
            whole = image.resize(resized, transform.FILTERS[interpolation].pillow, box=box)
            expected = np.asarray(whole.crop((left, top, left + 224, top + 224)))
            found = crop_pixels(image, resize, 224, interpolation, size=extent, box=box, threads=threads)
            assert np.array_equal(found, expected), (width, height, box)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", [232, (240, 300)])
def test_the_windowed_resampler_equals_pillows_resize_of_the_box(resize, interpolation, monkeypatch):
    monkeypatch.setattr(transform, "_LARGEST_RESIZED", 0)
    test_the_passes_equal_pillows_resize_of_the_box(resize, interpolation, 1)
