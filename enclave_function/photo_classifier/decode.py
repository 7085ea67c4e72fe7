"""Encoded image bytes to an upright RGB picture, within stated limits.

The limits are checked on the header, before any pixel is decoded: a 40 KB PNG can announce 10 gigapixels.
"""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from photo_classifier import problems
from photo_classifier.problems import InputProblem

MAX_BYTES = 20 * 1024 * 1024
"""Largest encoded image, bytes. A 48-megapixel phone JPEG is about 12 MB."""

MAX_PIXELS = 50_000_000
"""Largest picture, width x height. Decoded RGB takes 4 bytes a pixel in Pillow, so 200 MB at the limit."""

FORMATS = ("JPEG", "PNG", "WEBP")

# Pillow's own bomb check only warns up to twice its limit; ours replaces it.
Image.MAX_IMAGE_PIXELS = None

_OTHER_IMAGE_SIGNATURES = (
    b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*", b"\x00\x00\x01\x00", b"\xff\x0a", b"\x00\x00\x00\x0cJXL ",
)  # fmt: skip
_OTHER_IMAGE_BRANDS = (b"ftypavif", b"ftypheic", b"ftypheix", b"ftypmif1")


def looks_encoded(data: bytes) -> bool:
    """Say whether `data` begins like a JPEG, PNG or WebP file."""
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def decode(data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode `data` to an RGB image turned as its EXIF orientation says; an animation gives its first frame.

    Grey, CMYK, palette and 16-bit pictures are converted, transparency is dropped (as `Image.convert("RGB")` does).
    Raises `InputProblem`.
    """
    if not data:
        raise InputProblem(problems.EMPTY_BODY, "The image is empty.")
    if len(data) > max_bytes:
        raise InputProblem(
            problems.IMAGE_TOO_LARGE, f"The image has more than {max_bytes} bytes.", limit_bytes=max_bytes
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings quote metadata of the image.
        image = _open(data)
        width, height = image.size
        if width * height > max_pixels:
            raise InputProblem(
                problems.TOO_MANY_PIXELS,
                f"The image has {width}x{height} pixels, more than {max_pixels}.",
                limit_pixels=max_pixels,
            )
        try:
            image.load()
            rgb = _to_rgb(image)
            turn = _turn(image)
            return rgb if turn is None else rgb.transpose(turn)
        except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
            raise InputProblem(
                problems.TRUNCATED_IMAGE, "The image is truncated or damaged: its pixels cannot be decoded."
            ) from error


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        if looks_encoded(data):
            raise InputProblem(
                problems.TRUNCATED_IMAGE, "The image ends before its header is complete, or the header is damaged."
            ) from error
        if data.startswith(_OTHER_IMAGE_SIGNATURES) or data[4:12] in _OTHER_IMAGE_BRANDS:
            raise InputProblem(
                problems.UNSUPPORTED_MEDIA_TYPE, "This image format is not supported: send JPEG, PNG or WebP."
            ) from error
        raise InputProblem(problems.NOT_AN_IMAGE, "These bytes are not a JPEG, PNG or WebP image.") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
        raise InputProblem(problems.TRUNCATED_IMAGE, "The image's header is damaged.") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit grey. Pillow's own conversion clips at 255 instead of scaling, which turns the picture white.
        grey = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _turn(image: Image.Image) -> Image.Transpose | None:
    """The turn that `image`'s metadata asks for; a damaged EXIF block asks for none."""
    try:
        return _TURNS.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, EOFError, struct.error):
        return None
