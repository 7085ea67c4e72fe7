"""Decodes the bytes of an image to an upright RGB image, within stated limits.

The limits are checked on the header, before any pixel is decoded: a PNG of 40 KB can announce 10 gigapixels. Only the
decoders of the formats that the manifest lists are imported. They are selected by name, not by a library's search.
"""

from __future__ import annotations

import importlib
import io
import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from photo_classifier import exif, formats, jpeg, png, problems, turn, webp
from photo_classifier.formats import AVIF, JPEG, PNG, WEBP, Format, FormatNotTaken
from photo_classifier.problems import InputProblem

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from photo_classifier.turn import Box

MAX_BYTES: Final = 20 * 1024 * 1024
"""Largest encoded image, in bytes. A 48-megapixel JPEG from a telephone has about 12 MB."""

MAX_PIXELS: Final = 64 * 1024 * 1024
"""Largest image, width x height: 8192 x 8192, so that 8192 x 6144 of a "50 MP" telephone fits.

Decoded RGB takes 4 bytes per pixel in Pillow, 256 MiB at the limit."""

# Pillow's own bomb check only warns up to twice its limit; ours replaces it.
Image.MAX_IMAGE_PIXELS = None

_PLUGINS: Final = {
    JPEG.name: ("PIL.JpegImagePlugin", "JpegImageFile"),
    PNG.name: ("PIL.PngImagePlugin", "PngImageFile"),
    WEBP.name: ("PIL.WebPImagePlugin", "WebPImageFile"),
    AVIF.name: ("PIL.AvifImagePlugin", "AvifImageFile"),
}

_UNDECODABLE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,  # AVIF's
    struct.error,
)
"""Exceptions that Pillow raises for damaged images."""

_MISSING_GREY: Final = frozenset({127, 128})
"""The brightness that a JPEG decoder fills in for missing pixels: coefficients of zero; 127 in inverted CMYK."""

_ROUNDED: Final = 0.6
"""By how much the brightness of RGB can differ from that of the YCbCr from which it was rounded."""

_STRIP_ROWS: Final = 256
"""Number of rows that are processed at once, to limit additional memory."""


def looks_encoded(data: bytes) -> bool:
    """Whether `data` begins like a JPEG, PNG, WebP or AVIF file."""
    found = formats.identify(data)
    return found is not None and found.name in formats.DECODABLE


def prepare(taken: Collection[str]) -> None:
    """Import the decoders of the formats `taken`, a subset of `formats.DECODABLE`."""
    for name in taken:
        importlib.import_module(_PLUGINS[name][0])


@dataclass(frozen=True)
class Picture:
    """An upright RGB image. `size`: width and height of the full image in pixels; `image` may be smaller.

    `box`: the part of `image` that shows the full image. A smaller `image` ends within its last column and row.
    """

    image: Image.Image
    size: tuple[int, int]
    box: Box


def decode(
    data: bytes,
    *,
    taken: Sequence[str] = formats.DEFAULT,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Decode `data` in full, as `picture` does without `least_side`. Raises `InputProblem`."""
    return picture(data, taken=taken, max_bytes=max_bytes, max_pixels=max_pixels).image


def picture(
    data: bytes,
    *,
    taken: Sequence[str] = formats.DEFAULT,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    least_side: int | None = None,
) -> Picture:
    """Decode `data` to an RGB image, rotated according to its EXIF orientation; the first frame of an animation.

    `taken`: accepted formats, a subset of `formats.DECODABLE`. Grey, CMYK, palette and 16-bit images are converted;
    transparency is dropped, as `Image.convert("RGB")` does. With `least_side`, a JPEG is decoded at the smallest of a
    half, a quarter or an eighth of its width and height (DCT scaling, libjpeg-turbo's `scale_num`) for which neither is
    less than `least_side` pixels. Raises `InputProblem`.
    """
    if not data:
        raise InputProblem(problems.EMPTY_BODY, "The image is empty.")
    if len(data) > max_bytes:
        raise InputProblem(
            problems.IMAGE_TOO_LARGE, f"The image has more than {max_bytes} bytes.", limit_bytes=max_bytes
        )
    found = formats.identify(data)
    if found is None:
        raise InputProblem(problems.NOT_AN_IMAGE, f"These bytes are not a {formats.listed(taken, 'or')} image.")
    try:
        if found.name not in taken:
            raise FormatNotTaken(found)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings quote metadata of the image.
            return _upright(found, data, max_pixels, least_side)
    except FormatNotTaken as refused:
        raise InputProblem(
            problems.UNSUPPORTED_MEDIA_TYPE,
            f"This is {refused.format.title}; this model takes {formats.listed(taken, 'and')}: {refused.format.hint}.",
        ) from refused


def _upright(found: Format, data: bytes, max_pixels: int, least_side: int | None) -> Picture:
    extent: tuple[float, float]
    if found is JPEG:
        image, size, extent = _jpeg(data, max_pixels, least_side)
        block = image.info.get("exif")
    elif found is AVIF:
        # Its own boxes turn a picture; Pillow gives what they say as an EXIF orientation, in place of a real one.
        image = _loaded(found, data, max_pixels)
        size = extent = image.size
        block = image.info.get("exif")
    else:
        reduced = png.reduce(data) if found is PNG else webp.reduce(data)
        image = _loaded(found, reduced.data, max_pixels)
        size = extent = image.size
        block = reduced.exif
        if found is PNG and _ends_in_nothing(image) and not png.has_all_rows(reduced):
            raise _truncated(PNG, "some of its pixels are missing")
    orientation = exif.orientation(block)
    image, box = turn.upright(_to_rgb(image), extent, orientation)
    return Picture(image, turn.sides(size, orientation), box)


def _loaded(found: Format, data: bytes, max_pixels: int) -> Image.Image:
    """The image with its pixels. Raises `InputProblem`."""
    image = _opened(found, data, max_pixels)
    _load(found, image)
    return image


def _load(found: Format, image: Image.Image) -> None:
    """Decode the pixels of an opened `image`. Raises `InputProblem`."""
    try:
        image.load()
    except _UNDECODABLE as error:
        raise _truncated(found, "its pixels are incomplete or cannot be decoded") from error


def _opened(found: Format, data: bytes, max_pixels: int) -> Image.Image:
    """The image without its pixels. Raises `InputProblem`."""
    module, name = _PLUGINS[found.name]
    plugin: Any = getattr(importlib.import_module(module), name)
    try:
        image: Image.Image = plugin(io.BytesIO(data))
    except _UNDECODABLE as error:
        raise _truncated(found, "its header is incomplete or wrong") from error
    width, height = image.size
    if width * height > max_pixels:
        raise InputProblem(
            problems.TOO_MANY_PIXELS,
            f"The image has {width}x{height} pixels, more than {max_pixels}.",
            limit_pixels=max_pixels,
        )
    return image


def _jpeg(
    data: bytes, max_pixels: int, least_side: int | None
) -> tuple[Image.Image, tuple[int, int], tuple[float, float]]:
    """The image of a JPEG with or without end marker, the size of the full image, and the extent of its content.

    Raises `InputProblem`, `FormatNotTaken`.
    """
    structure = jpeg.structure(data, until_pixels=True)
    if not (structure.ends_in_grey and data.endswith(jpeg.END)):
        structure = jpeg.structure(data)
        if not structure.has_end and not data.endswith(jpeg.END):
            image = _endless_jpeg(data, structure, max_pixels)
            return image, image.size, image.size
    try:
        image, size, extent = _decoded_jpeg(data, max_pixels, least_side)
    except InputProblem:
        if not structure.plain:
            raise FormatNotTaken(formats.JPEG_LOSSLESS) from None
        raise
    if not structure.ends_in_grey or _ends_in_grey(image):
        for each in _continued(data):
            if not _equal(image, _decoded_jpeg(each, max_pixels, least_side)[0]):
                raise _truncated(JPEG, "some of its pixels are missing")
    return image, size, extent


def _decoded_jpeg(
    data: bytes, max_pixels: int, least_side: int | None
) -> tuple[Image.Image, tuple[int, int], tuple[float, float]]:
    """As `_jpeg`, whether or not pixels are missing."""
    image = _opened(JPEG, data, max_pixels)
    size = image.size
    extent: tuple[float, float] = size
    try:
        drafted = image.draft(None, (least_side, least_side)) if least_side else None
    except _UNDECODABLE as error:
        raise _truncated(JPEG, "its pixels cannot be decoded") from error
    if drafted:
        # libjpeg rounds the smaller width and height up, so the image does not end with the photo.
        extent = drafted[1][2:]
    _load(JPEG, image)
    return image, size, extent


def _continued(data: bytes) -> list[bytes]:
    """`data`, which has an end marker, with other bytes behind its last scan: the pixels depend on none of them.

    Raises `InputProblem` if a component has no scan.
    """
    structure = jpeg.structure(data)
    if structure.pixels_end is None:
        return []
    if structure.has_end and not structure.every_component:
        raise _truncated(JPEG, "one of its colour components is missing")
    more = jpeg.continued(data, structure)
    # Behind such scans it is done for each photo, so with one of them: that which begins with the opposite of zeros.
    return more if structure.ends_in_grey else more[1:2]


def _endless_jpeg(data: bytes, structure: jpeg.Structure, max_pixels: int) -> Image.Image:
    if not structure.plain:
        raise FormatNotTaken(formats.JPEG_LOSSLESS)
    if structure.pixels_end is None:
        raise _truncated(JPEG, "it ends before its pixels begin")
    if not structure.complete:
        raise _truncated(JPEG, "it ends before the last of its scans")
    return _require_all_pixels(data, structure, max_pixels)


def _require_all_pixels(data: bytes, structure: jpeg.Structure, max_pixels: int) -> Image.Image:
    """The image of `data`. Raises `InputProblem` if a pixel depends on the bytes after its scans."""
    first, *others = jpeg.continued(data, structure)
    image = _loaded(JPEG, first, max_pixels)
    for each in others:
        if not _equal(image, _loaded(JPEG, each, max_pixels)):
            raise _truncated(JPEG, "some of its pixels are missing")
    return image


def _equal(image: Image.Image, other: Image.Image) -> bool:
    """Whether two images of the same size have the same pixels."""
    strips = [
        (0, top, image.width, min(top + _STRIP_ROWS, image.height)) for top in range(0, image.height, _STRIP_ROWS)
    ]
    return all(image.crop(strip).tobytes() == other.crop(strip).tobytes() for strip in strips)


def _ends_in_grey(image: Image.Image) -> bool:
    """Whether the last pixel has the brightness that decoders fill in for missing ones.

    Its colour may come from the block above: decoders smooth colours that are stored at a lower resolution.
    """
    last: Any = image.getpixel((image.width - 1, image.height - 1))
    if not isinstance(last, tuple):
        return last in _MISSING_GREY
    red, green, blue, *key = last
    brightness = 0.299 * red + 0.587 * green + 0.114 * blue
    return min(abs(brightness - grey) for grey in _MISSING_GREY) <= _ROUNDED and _MISSING_GREY.issuperset(key)


def _ends_in_nothing(image: Image.Image) -> bool:
    """Whether one of the last two rows is all zeros. The last pass of an interlaced image has every second row."""
    tops = range(max(image.height - 2, 0), image.height)
    return not all(any(image.crop((0, top, image.width, top + 1)).tobytes()) for top in tops)


def _truncated(found: Format, what: str) -> InputProblem:
    return InputProblem(problems.TRUNCATED_IMAGE, f"The {found.title} is truncated or damaged: {what}.")


def _to_rgb(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I"):
        return image if image.mode == "RGB" else image.convert("RGB")
    # 16-bit grey. Pillow's own conversion clips at 255 instead of scaling, which turns the picture white.
    rgb = Image.new("RGB", image.size)
    for top in range(0, image.height, _STRIP_ROWS):
        strip = image.crop((0, top, image.width, min(top + _STRIP_ROWS, image.height)))
        grey = np.asarray(strip).astype(np.int64).clip(0, 65535)
        rgb.paste(Image.fromarray(((grey + 128) // 257).astype(np.uint8)), (0, top))
    return rgb
