"""Conversion of HEIC and AVIF to JPEG on the caller's machine, before encryption.

    from blindsight.client import photos

    answer = client.classify(photos.as_jpeg(Path("IMG_0001.HEIC").read_bytes()))

Phones write HEIC, which the enclave does not decode: each byte of a hostile file would reach its large decoders. Needs
the package pillow-heif (the extra `heic`), which installs Pillow.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from blindsight.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from PIL import Image

DEFAULT_FORMATS: Final = ("jpeg", "png", "webp")
"""Formats of a model whose manifest lists none."""

MAX_JPEG_BYTES: Final = 20 << 20
"""Maximum size of a converted JPEG: the largest image that an enclave accepts."""

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_BRANDS: Final = frozenset({b"mif1", b"mif2", b"msf1", b"heif", b"miaf", b"avci", b"avcs", b"jpeg", b"jpgs"})
_FTYP_BYTES: Final = 256
"""Number of bytes searched for a file's brands (ISO/IEC 14496-12, section 4.3; ISO/IEC 23008-12, annex B)."""

_QUALITIES: Final = (95, 88, 75)
"""JPEG qualities, tried in order until the file is small enough."""


def kind(content: bytes) -> str | None:
    """Return `"HEIC"`, `"HEIF"` or `"AVIF"` for content with such a signature, else None."""
    if content[4:8] != b"ftyp":
        return None
    end = min(max(int.from_bytes(content[:4], "big"), 16), _FTYP_BYTES)
    brands = {content[8:12], *(content[start : start + 4] for start in range(16, end, 4))}
    for name, known in (("AVIF", _AVIF_BRANDS), ("HEIC", _HEIC_BRANDS), ("HEIF", _HEIF_BRANDS)):
        if brands & known:
            return name
    return None


def taken(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The image formats in a model's manifest, such as `"jpeg"`."""
    listed = manifest.get("formats")
    return tuple(map(str, listed)) if isinstance(listed, list) else DEFAULT_FORMATS


def as_jpeg(content: bytes, *, formats: Collection[str] = DEFAULT_FORMATS) -> bytes:
    """Convert the first picture of a HEIC, HEIF or AVIF file to JPEG. Other content is returned unchanged.

    Files of one of the accepted `formats` are not converted. The JPEG is upright and has no metadata: no place, no
    time, no camera, no thumbnail and no colour profile. It has at most `MAX_JPEG_BYTES` if possible. Raises
    `ConversionError`.
    """
    found = kind(content)
    if found is None or found.lower() in formats:
        return content
    try:
        picture = _avif(content) if found == "AVIF" else _heif(content)
    except ImportError as error:
        raise ConversionError(
            "converter_missing", f"The photo is {found}, and what turns it into JPEG is not installed."
        ) from error
    except Exception as error:  # What decoders raise has no common base class.
        raise ConversionError("not_convertible", f"The {found} file cannot be decoded.") from error
    for quality in _QUALITIES:
        jpeg = _encoded(picture, quality)
        if len(jpeg) <= MAX_JPEG_BYTES:
            break
    return jpeg


def _heif(content: bytes) -> Image.Image:
    # Imported here: an extra of this package.
    import pillow_heif  # noqa: PLC0415 -- as said

    # It turns the picture as its boxes say, which count in HEIF, and takes 10 and 12 bits down to 8.
    picture: Image.Image = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=True).to_pillow()
    return picture


def _avif(content: bytes) -> Image.Image:
    from PIL import Image, ImageOps  # noqa: PLC0415 -- as above

    with Image.open(io.BytesIO(content), formats=("AVIF",)) as opened:
        return ImageOps.exif_transpose(opened)


def _encoded(picture: Image.Image, quality: int) -> bytes:
    # A new picture: `save` would take the old one's metadata along.
    plain = picture.convert("RGB")
    plain.info = {}
    buffer = io.BytesIO()
    plain.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
