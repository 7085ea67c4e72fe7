"""Determines the format of an image file from its first bytes.

The names in `DECODABLE` are those that the `formats` of a manifest can list. Other formats are recognised only for the
message of a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

DECODABLE: Final = ("jpeg", "png", "webp", "avif")
"""Formats that this function can decode, in the order of manifests and messages."""

DEFAULT: Final = ("jpeg", "png", "webp")
"""Accepted formats if a manifest has no `formats`."""

_BROWSERS: Final = "save it as JPEG, PNG or WebP with an image editor, and send that"
_HEIC: Final = (
    "convert it to JPEG before it is sent, as `blindsight classify` does if pillow-heif is installed"
    " (`pip install pillow-heif`); an iPhone takes JPEG itself under Settings, Camera, Formats, Most Compatible"
)
_RAW: Final = "develop it to JPEG first, or send the JPEG that most cameras keep beside it"
_DRAWING: Final = "export it as PNG in about 500 x 500 pixels, and send that"
_DOCUMENT: Final = "export the photo or page as JPEG or PNG, and send that"
_VIDEO: Final = "send a single frame, saved as JPEG or PNG"


@dataclass(frozen=True)
class Format:
    """A format: `name` is its key in manifests and its short name, `title` its name in sentences."""

    name: str
    title: str
    hint: str = _BROWSERS
    """How to send such an image instead, as the end of a sentence."""


class FormatNotTaken(Exception):
    """The image has a format, or a variant of it, that is not decoded: `format`."""

    def __init__(self, found: Format) -> None:
        super().__init__(found.name)
        self.format = found


JPEG: Final = Format("jpeg", "JPEG")
PNG: Final = Format("png", "PNG")
WEBP: Final = Format("webp", "WebP")
AVIF: Final = Format(
    "avif", "AVIF", f"{_BROWSERS}; a model built with `--formats jpeg,png,webp,avif` takes it as it is"
)
HEIC: Final = Format("heic", "HEIC", _HEIC)
HEIF: Final = Format("heif", "HEIF", _HEIC)
HEIF_JPEG: Final = Format("heif-jpeg", "HEIF (with JPEG in it)", _HEIC)
HEIF_AVC: Final = Format("heif-avc", "HEIF (with AVC in it)", _HEIC)
HEIF_VVC: Final = Format("heif-vvc", "HEIF (with VVC in it)", _HEIC)
JPEG2000: Final = Format("jpeg2000", "JPEG 2000")
JPEGXL: Final = Format("jpegxl", "JPEG XL")
JPEGLS: Final = Format("jpegls", "JPEG-LS")
JPEG_LOSSLESS: Final = Format(
    "jpeg-lossless", "lossless or 12-bit JPEG", "save it as an ordinary JPEG of 8 bits, and send that"
)
APPLE_PNG: Final = Format(
    "cgbi", "PNG in Apple's own variant (CgBI)", "take the PNG from before Xcode packed it, or open and save it anew"
)
TIFF: Final = Format("tiff", "TIFF (or a camera's raw file of that kind)", "save it as JPEG first, and send that")
RAW: Final = Format("raw", "camera raw", _RAW)
VIDEO: Final = Format("video", "video", _VIDEO)

_TITLES: Final = {each.name: each.title for each in (JPEG, PNG, WEBP, AVIF)}

_SIGNATURES: Final = (
    (b"\xff\xd8\xff\xf7", JPEGLS),
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", JPEG2000),
    (b"\xff\x4f\xff\x51", JPEG2000),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", JPEGXL),
    (b"\xff\x0a", JPEGXL),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIRO", RAW), (b"IIRS", RAW), (b"MMOR", RAW), (b"IIU\x00", RAW),
    (b"II\x1a\x00\x00\x00HEAPCCDR", RAW),
    (b"II*\x00", TIFF), (b"MM\x00*", TIFF), (b"II+\x00", TIFF), (b"MM\x00+", TIFF),
    (b"II\xbc\x01", Format("jpegxr", "JPEG XR")),
    (b"GIF87a", Format("gif", "GIF")), (b"GIF89a", Format("gif", "GIF")),
    (b"\x00\x00\x01\x00", Format("ico", "ICO")), (b"\x00\x00\x02\x00", Format("cur", "CUR")),
    (b"8BPS", Format("psd", "Photoshop")),
    (b"gimp xcf ", Format("xcf", "GIMP")),
    (b"%!PS", Format("eps", "PostScript", _DOCUMENT)), (b"\xc5\xd0\xd3\xc6", Format("eps", "PostScript", _DOCUMENT)),
    (b"\x8aMNG\r\n\x1a\n", Format("mng", "MNG")), (b"\x8bJNG\r\n\x1a\n", Format("jng", "JNG")),
    (b"qoif", Format("qoi", "QOI")),
    (b"v/1\x01", Format("exr", "OpenEXR")),
    (b"#?RADIANCE", Format("hdr", "Radiance HDR")), (b"#?RGBE", Format("hdr", "Radiance HDR")),
    (b"DDS ", Format("dds", "DDS")),
    (b"icns", Format("icns", "ICNS")),
    (b"BPG\xfb", Format("bpg", "BPG")),
    (b"FLIF", Format("flif", "FLIF")),
    (b"SIMPLE  =", Format("fits", "FITS")),
    (b"AT&TFORM", Format("djvu", "DjVu", _DOCUMENT)),
    (b"\x1aE\xdf\xa3", VIDEO),
)  # fmt: skip

_HEVC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
"""HEVC pictures and sequences of them (ISO/IEC 23008-12, annex B)."""
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis", b"avio"})
_HEIF_BRANDS: Final = frozenset({b"mif1", b"mif2", b"msf1", b"miaf", b"1pic", b"heif"})
"""Of the container alone; the brands that are compatible say what is in it."""
_OTHER_BRANDS: Final = {
    b"crx ": RAW,
    b"jp2 ": JPEG2000, b"jpx ": JPEG2000, b"jpm ": JPEG2000, b"mjp2": JPEG2000,
    b"j2ki": JPEG2000, b"j2is": JPEG2000, b"jxl ": JPEGXL,
    b"jpeg": HEIF_JPEG, b"jpgs": HEIF_JPEG, b"avci": HEIF_AVC, b"avcs": HEIF_AVC, b"vvic": HEIF_VVC, b"vvis": HEIF_VVC,
}  # fmt: skip
_FTYP_BYTES: Final = 256
"""Of a file's brands that are looked at: 60 of them."""

_TEXT_BYTES: Final = 1024
"""In which a PDF's and an SVG's signature must lie (ISO 32000-1, annex H.3.4.1)."""


def identify(data: bytes) -> Format | None:
    """The format of `data` according to its first bytes; None if it is unknown."""
    for signature, found in _SIGNATURES:
        if data.startswith(signature):
            return found
    if data[4:8] == b"ftyp":
        return _by_brand(data)
    if data[:4] == b"RIFF":
        return {b"WEBP": WEBP, b"AVI ": VIDEO}.get(data[8:12])
    if data[:2] == b"BM" and data[6:10] == bytes(4):
        return Format("bmp", "BMP")
    if data[:1] == b"P" and data[1:2] in b"1234567" and data[2:3].isspace():
        return Format("pnm", "PNM")
    if data[128:132] == b"DICM":
        return Format("dicom", "DICOM", _DOCUMENT)
    return _by_text(data[:_TEXT_BYTES])


def _by_brand(data: bytes) -> Format:
    length = int.from_bytes(data[:4], "big")
    end = min(length, _FTYP_BYTES) if length >= 16 else _FTYP_BYTES
    major = data[8:12]
    compatible = [data[start : start + 4] for start in range(16, min(end, len(data)), 4)]
    for brand in (major, *compatible):
        if brand in _AVIF_BRANDS:
            return AVIF
        if brand in _HEVC_BRANDS:
            return HEIC
        if brand in _OTHER_BRANDS:
            return _OTHER_BRANDS[brand]
    return HEIF if _HEIF_BRANDS.intersection((major, *compatible)) else VIDEO


def _by_text(start: bytes) -> Format | None:
    if b"%PDF-" in start:
        return Format("pdf", "PDF", _DOCUMENT)
    # UTF-16 has a zero byte beside each letter.
    text = start.replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").lower()
    if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text):
        return Format("svg", "SVG", _DRAWING)
    return None


def listed(names: Sequence[str], word: str) -> str:
    """Names of `DECODABLE` in a sentence, with `word` before the last: "JPEG, PNG and WebP"."""
    *most, last = [_TITLES[name] for name in names]
    return f"{', '.join(most)} {word} {last}" if most else last
