"""HEIC and AVIF to JPEG on the caller's machine: the same picture, upright, and nothing else of the file."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from blindsight.client import photos
from blindsight.errors import ConversionError
from tests.support.containers import isobmff
from tests.support.images import encode

CANARY = b"Sensitive4711"


def picture() -> Image.Image:
    """In which every corner differs, 96 x 64."""
    y, x = np.mgrid[0:64, 0:96]
    return Image.fromarray(np.stack([x * 2 + 20, y * 4, x + y], axis=2).astype(np.uint8))


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010F] = CANARY.decode()
    block.get_ifd(0x8825)[2] = (48.0, 8.0, 12.0)  # GPSLatitude
    return block.tobytes()


def heic(image: Image.Image, **options: object) -> bytes:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    buffer = io.BytesIO()
    heif.from_pillow(image).save(buffer, quality=95, **options)
    return buffer.getvalue()


def levels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def near(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and np.abs(found - expected).mean() < 6


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_becomes_an_upright_jpeg(orientation: int) -> None:
    jpeg = photos.as_jpeg(heic(picture(), exif=exif(orientation)))
    assert jpeg.startswith(b"\xff\xd8\xff")
    turns = {1: 0, 3: 2, 6: -1, 8: 1}
    assert near(levels(jpeg), np.rot90(np.asarray(picture()).astype(int), turns[orientation]))


def test_its_metadata_stays_here() -> None:
    data = heic(picture(), exif=exif(6), xmp=b"<x:xmpmeta>" + CANARY + b"</x:xmpmeta>", icc_profile=CANARY * 20)
    assert CANARY in data
    jpeg = photos.as_jpeg(data)
    assert CANARY not in jpeg
    opened = Image.open(io.BytesIO(jpeg))
    assert not opened.getexif()
    assert set(opened.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}


@pytest.mark.parametrize("orientation", [1, 6])
def test_avif_is_converted_only_where_it_is_not_taken(orientation: int) -> None:
    data = encode(picture(), "AVIF", quality=95, exif=exif(orientation))
    assert photos.as_jpeg(data, formats=("jpeg", "avif")) is data
    jpeg = photos.as_jpeg(data)
    assert CANARY not in jpeg
    assert near(levels(jpeg), np.rot90(np.asarray(picture()).astype(int), 0 if orientation == 1 else -1))


def test_transparency_and_grey() -> None:
    for mode in ("RGBA", "L"):
        jpeg = photos.as_jpeg(heic(picture().convert(mode)))
        assert Image.open(io.BytesIO(jpeg)).mode == "RGB"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_other_files_stay_as_they_are(image_format: str) -> None:
    data = encode(picture(), image_format)
    assert photos.as_jpeg(data) is data


@pytest.mark.parametrize("data", [b"", b"\0" * 602112, b"ftyp", isobmff(b"isom", b"mp42"), isobmff(b"crx ")])
def test_what_is_no_such_photo_stays_as_it_is(data: bytes) -> None:
    assert photos.as_jpeg(data) is data


@pytest.mark.parametrize(
    ("data", "found"),
    [
        *(
            (isobmff(brand), "HEIC")
            for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
        ),
        (isobmff(b"mif1", b"mif1", b"heic"), "HEIC"),
        (isobmff(b"msf1", b"hevc"), "HEIC"),
        (isobmff(b"mif1"), "HEIF"),
        (isobmff(b"mif1", b"avif"), "AVIF"),
        (isobmff(b"avis"), "AVIF"),
        (isobmff(b"isom"), None),
    ],
)
def test_kinds_are_told_by_brands(data: bytes, found: str | None) -> None:
    assert photos.kind(data) == found


def test_damage_is_said() -> None:
    data = heic(picture())
    for damaged in (data[: len(data) // 2], isobmff(b"heic"), isobmff(b"avif")):
        with pytest.raises(ConversionError) as caught:
            photos.as_jpeg(damaged)
        assert caught.value.code == "not_convertible"


@pytest.mark.parametrize(("missing", "brand"), [("pillow_heif", b"heic"), ("PIL", b"avif")])
def test_without_the_extra_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, missing: str, brand: bytes
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConversionError) as caught:
        photos.as_jpeg(isobmff(brand))
    assert caught.value.code == "converter_missing"
    assert "pip install pillow-heif" in caught.value.next_step


def test_a_large_photo_is_made_small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8))
    data = encode(noise, "AVIF", quality=100, subsampling="4:4:4")
    best = len(photos.as_jpeg(data))
    monkeypatch.setattr(photos, "MAX_JPEG_BYTES", best - 1)
    assert len(photos.as_jpeg(data)) < best


def test_what_a_model_takes_stands_in_its_manifest() -> None:
    assert photos.taken({"formats": ["jpeg", "avif"]}) == ("jpeg", "avif")
    assert photos.taken({}) == ("jpeg", "png", "webp")
