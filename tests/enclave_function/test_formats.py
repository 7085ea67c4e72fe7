"""Pictures of formats that are not taken: each is named, with a way to send it all the same."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from photo_classifier import problems
from photo_classifier.decode import decode
from photo_classifier.problems import InputProblem
from tests.support.containers import PNG_SIGNATURE, isobmff, png_chunk

BOXES = {
    "HEIC": [
        isobmff(b"heic", b"mif1", b"heic"),
        isobmff(b"mif1", b"mif1", b"heic", b"MiHE"),
        isobmff(b"msf1", b"hevc"),
        *(isobmff(brand) for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")),
    ],
    "HEIF": [*(isobmff(brand) for brand in (b"mif1", b"msf1", b"mif2", b"heif", b"miaf"))],
    "HEIF (with AVC in it)": [isobmff(b"avci"), isobmff(b"mif1", b"avci"), isobmff(b"avcs")],
    "HEIF (with JPEG in it)": [isobmff(b"jpeg"), isobmff(b"mif1", b"jpeg")],
    "AVIF": [
        isobmff(b"avif", b"avif", b"mif1", b"miaf"),
        isobmff(b"avis", b"avis", b"msf1"),
        isobmff(b"mif1", b"miaf", b"avif"),
        isobmff(b"avio"),
    ],
    "JPEG 2000": [
        b"\0\0\0\x0cjP  \r\n\x87\n" + isobmff(b"jp2 ", b"jp2 "),
        b"\xff\x4f\xff\x51\0\x29" + bytes(60),
        isobmff(b"jpx "),
        isobmff(b"mif1", b"j2ki"),
    ],
    "JPEG XL": [b"\xff\x0a" + bytes(60), b"\0\0\0\x0cJXL \r\n\x87\n" + isobmff(b"jxl ")],
    "JPEG XR": [b"II\xbc\x01" + bytes(60)],
    "JPEG-LS": [b"\xff\xd8\xff\xf7\0\x0b\x08" + bytes(60)],
    "TIFF": [start + bytes(60) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")],
    "camera raw": [b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"IIU\0\x18", isobmff(b"crx ", b"crx ", b"isom")],
    "GIF": [b"GIF87a" + bytes(60), b"GIF89a" + bytes(60)],
    "PDF": [b"%PDF-1.7\n", b"\xef\xbb\xbf%PDF-1.4\n", b"MIME header\r\n\r\n%PDF-2.0"],
    "SVG": [
        b"<svg></svg>",
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'svg11.dtd'><svg/>",
        '<?xml version="1.0"?><svg/>'.encode("utf-16"),
    ],
    "PostScript": [b"%!PS-Adobe-3.0 EPSF-3.0"],
    "Photoshop": [b"8BPS\0\x01" + bytes(60)],
    "video": [isobmff(b"isom", b"mp42"), isobmff(b"qt  "), b"\x1aE\xdf\xa3" + bytes(60), b"RIFF\0\0\0\0AVI LIST"],
    "DICOM": [bytes(128) + b"DICM" + bytes(60)],
    "PNM": [b"P6\n3 3\n255\n" + bytes(27)],
    "QOI": [b"qoif" + bytes(60)],
}


@pytest.mark.parametrize(
    ("title", "data"), [pytest.param(t, d, id=f"{t} {n}") for t, files in BOXES.items() for n, d in enumerate(files)]
)
def test_the_format_is_named(title, data):
    problem = refusal(data)
    assert problem.code == problems.UNSUPPORTED_MEDIA_TYPE
    assert problem.detail.startswith(f"This is {title}")
    assert "JPEG, PNG and WebP" in problem.detail
    assert "\n" not in problem.detail


@pytest.mark.parametrize(
    "image_format", ["GIF", "BMP", "TIFF", "ICO", "JPEG2000", "AVIF", "PPM", "DDS", "ICNS", "PDF", "EPS"]
)
def test_what_pillow_writes_is_named(photo, encode, image_format):
    image = photo.resize((64, 64)) if image_format in {"ICO", "ICNS"} else photo
    problem = refusal(encode(image, image_format))
    assert problem.code == problems.UNSUPPORTED_MEDIA_TYPE
    assert "this model takes JPEG, PNG and WebP" in problem.detail


def test_heic_is_named_with_ways_to_send_it():
    detail = refusal(isobmff(b"mif1", b"mif1", b"heic")).detail
    assert "blindsight classify" in detail
    assert "Most Compatible" in detail


def test_apples_png_variant_is_named():
    """iOS apps' own PNGs: no zlib header, blue and red exchanged. Xcode writes them; browsers refuse them."""
    header = struct.pack(">IIBBBBB", 8, 8, 8, 6, 0, 0, 0)
    data = PNG_SIGNATURE + png_chunk(b"CgBI", b"P\0 \x02") + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", bytes(20))
    problem = refusal(data)
    assert problem.code == problems.UNSUPPORTED_MEDIA_TYPE
    assert "CgBI" in problem.detail


@pytest.mark.parametrize(("marker", "depth"), [(0xC0, 12), (0xC1, 12), (0xC3, 8), (0xC5, 8), (0xC7, 8), (0xCB, 8)])
@pytest.mark.parametrize("end", [0, 2])
def test_jpegs_of_kinds_that_are_not_decoded_are_named(photo, encode, marker, depth, end):
    data = bytearray(encode(photo, "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 1], data[frame + 4] = marker, depth
    problem = refusal(bytes(data[: len(data) - end]))
    assert problem.code == problems.UNSUPPORTED_MEDIA_TYPE
    assert "lossless or 12-bit JPEG" in problem.detail


def test_avif_is_decoded_where_it_is_taken(photo, encode):
    data = encode(photo, "AVIF", quality=100, subsampling="4:4:4")
    assert refusal(data).code == problems.UNSUPPORTED_MEDIA_TYPE
    decoded = decode(data, taken=("jpeg", "avif"))
    assert np.array_equal(np.asarray(decoded), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    problem = refusal(encode(photo, "PNG"), taken=("jpeg", "avif"))
    assert problem.detail.startswith("This is PNG; this model takes JPEG and AVIF: ")
    assert refusal(b"hello", taken=("jpeg", "avif")).detail == "These bytes are not a JPEG or AVIF image."


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_avif_is_turned_as_its_boxes_say(photo, encode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(photo, "AVIF", quality=100, subsampling="4:4:4", exif=exif.tobytes())
    upright = np.asarray(decode(encode(photo, "AVIF", quality=100, subsampling="4:4:4"), taken=("avif",)))
    turns = {3: 2, 6: -1, 8: 1}
    assert np.array_equal(np.asarray(decode(data, taken=("avif",))), np.rot90(upright, turns[orientation]))


def test_avif_that_is_cut_off(photo, encode):
    data = encode(photo, "AVIF")
    for length in range(40, len(data), 17):
        assert refusal(data[:length], taken=("avif",)).code == problems.TRUNCATED_IMAGE


def test_avif_that_is_damaged_is_a_problem_and_no_failure(photo, encode):
    data = encode(photo.resize((16, 16)), "AVIF")
    found = set()
    for position in range(len(data)):
        damaged = data[:position] + bytes([data[position] ^ 0x42]) + data[position + 1 :]
        try:
            found.add(decode(damaged, taken=("avif",)).mode)
        except InputProblem as problem:
            found.add(problem.code)
    assert {"RGB", problems.TRUNCATED_IMAGE} <= found


def refusal(data: bytes, **options) -> InputProblem:
    with pytest.raises(InputProblem) as caught:
        decode(data, **options)
    return caught.value
