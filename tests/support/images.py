"""Pictures for the colour model, and pictures that are wrong in a known way."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from tests.support.models import colour_of, normalised


def encode(image: Image.Image, image_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def plain(class_id: int, image_format: str = "PNG", *, size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    """An encoded picture of one colour, whose right answer is `class_id`."""
    return encode(Image.new("RGB", size, colour_of(class_id)), image_format, **options)


def noisy(class_id: int, *, size: tuple[int, int] = (120, 90)) -> bytes:
    """A PNG of class `class_id` that does not compress: no two 16-byte stretches of its pixel data are alike."""
    random = np.random.default_rng(class_id)
    pixels = np.array(colour_of(class_id)) + random.integers(-12, 13, (size[1], size[0], 3))
    return encode(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))


def tensor(class_id: int, *, noise: float = 0.05) -> bytes:
    """A normalised input tensor of class `class_id`: 602112 bytes, float32 (1, 3, 224, 224)."""
    random = np.random.default_rng(class_id)
    colour = normalised(np.array(colour_of(class_id)))[None, :, None, None]
    return (colour + random.normal(0, noise, (1, 3, 224, 224))).astype("<f4").tobytes()


def truncated(marker: bytes) -> bytes:
    """The first half of a JPEG; its comment, which comes whole, holds `marker`."""
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = encode(noise, "JPEG", comment=marker)
    return whole[: len(whole) // 2]


def huge() -> bytes:
    """A picture of 67 megapixels, more than are taken, in some kilobytes."""
    return encode(Image.new("1", (8200, 8200)))


def padded(class_id: int, total: int) -> bytes:
    """A JPEG of class `class_id` with `total` bytes, most of them noise after its end."""
    image = plain(class_id, "JPEG", quality=95)
    return image + np.random.default_rng(total).bytes(total - len(image))
