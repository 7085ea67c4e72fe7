"""Hostile bytes: whatever comes in, a picture or an `InputProblem` comes out."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from photo_classifier import formats, problems
from photo_classifier.decode import decode
from photo_classifier.problems import InputProblem

CODES = {
    problems.EMPTY_BODY,
    problems.NOT_AN_IMAGE,
    problems.TRUNCATED_IMAGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
    problems.TOO_MANY_PIXELS,
    problems.IMAGE_TOO_LARGE,
}


def outcome(data: bytes) -> Image.Image | str:
    try:
        return decode(data, taken=formats.DECODABLE, max_pixels=1_000_000)
    except InputProblem as problem:
        return problem.code


def survives(data: bytes) -> None:
    result = outcome(data)
    if isinstance(result, str):
        assert result in CODES
    else:
        assert result.mode == "RGB"
        assert 0 < result.width * result.height <= 1_000_000
        assert np.asarray(result).dtype == np.uint8


def sample(image_format: str, mode: str = "RGB", **options) -> bytes:
    noise = np.random.default_rng(5).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, image_format, exif=exif, **options)
    return buffer.getvalue()


SAMPLES = [
    sample("JPEG"),
    sample("JPEG", progressive=True),
    sample("JPEG", "CMYK"),
    sample("PNG"),
    sample("PNG", "P", transparency=3),
    sample("PNG", "I;16"),
    sample("PNG", save_all=True, append_images=[Image.new("RGB", (17, 13))]),
    sample("JPEG")[:-2],
    sample("AVIF"),
    sample("WEBP"),
    sample("WEBP", "RGBA", lossless=True, save_all=True, append_images=[Image.new("RGBA", (17, 13))]),
]

PREFIXES = [
    b"",
    b"\xff\xd8\xff",
    b"\xff\xd8\xff\xe1\x00\x20Exif\0\0",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\x40\0\0\0WEBPVP8X",
    b"GIF89a",
    b"\0\0\0\x1cftypavif",
]


@given(st.sampled_from(PREFIXES), st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_garbage(prefix, rest):
    survives(prefix + rest)


@given(st.data())
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.large_base_example])
def test_damaged_pictures(data):
    damaged = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    survives(bytes(damaged))


@pytest.mark.parametrize("data", SAMPLES)
def test_the_samples_are_whole(data):
    assert decode(data, taken=formats.DECODABLE).size == (13, 17)
