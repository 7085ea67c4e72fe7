"""The originals of the campaign: photos in every accepted format, with the variants and metadata of each."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageCms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMATS = ("jpeg", "png", "webp", "avif")
"""Accepted by the campaign's model: all that the function can decode."""
_LONGEST = 480
"""Pixels of the longer side of those that are encoded anew, so that a mutation hits a structure as often as pixels."""
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Original:
    """An encoded photo; `name` is that of its photo and variant."""

    name: str
    format: str
    content: bytes


def of_photos(paths: list[Path]) -> list[Original]:
    """Every photo as it is, and every variant of one of them in turn."""
    found = [Original(path.name, "jpeg", path.read_bytes()) for path in paths]
    for path in paths:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((_LONGEST, _LONGEST))
        found += [
            Original(f"{path.stem} {name}", image_format, content) for name, image_format, content in _variants(picture)
        ]
    return found


def _variants(picture: Image.Image) -> Iterator[tuple[str, str, bytes]]:
    """Name, format and content of each variant."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    described: dict[str, Any] = {"exif": exif.tobytes(), "icc_profile": profile}
    grey, alpha = picture.convert("L"), picture.copy()
    alpha.putalpha(grey)
    frames = [picture.rotate(angle) for angle in (90, 180)]
    animated: dict[str, Any] = {"save_all": True, "append_images": frames, "duration": 100}
    jpegs: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "baseline": (picture, described),
        "progressive": (picture, described | {"progressive": True}),
        "4:4:4": (picture, {"subsampling": 0, "quality": 95}),
        "restarts": (picture, {"restart_marker_rows": 1}),
        "grey": (grey, {"comment": b"grey"}),
        "progressive grey": (grey, {"progressive": True}),
        "CMYK": (picture.convert("CMYK"), {}),
        "progressive CMYK": (picture.convert("CMYK"), {"progressive": True}),
    }
    pngs: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "RGB": (picture, described),
        "grey": (grey, {}),
        "16 bits": (grey.convert("I;16"), {}),
        "palette": (picture.quantize(64), {"transparency": 3}),
        "bilevel": (picture.convert("1"), {}),
        "alpha": (alpha, {"dpi": (72, 72)}),
        "animated": (picture, animated),
    }
    webps: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "lossy": (picture, described),
        "simple": (picture, {}),
        "lossless": (picture, {"lossless": True, "method": 1}),
        "alpha": (alpha, {"method": 1}),
        "animated": (picture, animated | {"method": 1}),
    }
    avifs: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "colour": (picture, described | {"speed": 10}),
        "alpha": (alpha, {"speed": 10}),
        "animated": (picture, animated | {"speed": 10}),
    }
    for image_format, variants in zip(FORMATS, (jpegs, pngs, webps, avifs), strict=True):
        for name, (image, options) in variants.items():
            yield f"{image_format} {name}", image_format, _encoded(image, image_format, options)
    for other in ("gif", "bmp", "tiff"):  # Refused by their first bytes, which a mutation can change.
        yield other, other, _encoded(picture, other, {})


def _encoded(image: Image.Image, image_format: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format.upper(), **options)
    return buffer.getvalue()
