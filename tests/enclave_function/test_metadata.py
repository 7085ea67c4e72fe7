"""Metadata costs nothing: neither its size, nor damage in it. Only its EXIF orientation is read."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from photo_classifier import problems
from photo_classifier.decode import decode
from photo_classifier.problems import InputProblem
from tests.support.containers import (
    PNG_SIGNATURE,
    png_chunk,
    png_chunks,
    riff,
    riff_chunks,
    with_jpeg_segment,
    with_png_chunk,
)

MIB = 1 << 20
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def large(megabytes: int) -> bytes:
    """A compressed text of so many megabytes, a few thousandths of that long."""
    return zlib.compress(bytes(megabytes * MIB), 1)


def incompressible(megabytes: int) -> bytes:
    return zlib.compress(random.Random(0).randbytes(megabytes * MIB), 0)


LARGE = {
    "zTXt": (b"zTXt", b"Comment\0\0" + large(8)),
    "zTXt of random bytes": (b"zTXt", b"Comment\0\0" + incompressible(8)),
    "iTXt": (b"iTXt", b"Comment\0\x01\0\0\0" + large(8)),
    "XMP": (b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0" + large(8)),
    "plain XMP": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * 8 * MIB),
    "tEXt": (b"tEXt", b"Comment\0" + b"x" * 8 * MIB),
    "iCCP": (b"iCCP", b"profile\0\0" + large(8)),
    "bomb": (b"iCCP", b"profile\0\0" + large(128)),
    "raw profile": (b"zTXt", b"Raw profile type exif\0\0" + large(8)),
    "eXIf": (b"eXIf", b"MM\0*" + bytes(4 * MIB)),
    "private": (b"prVt", bytes(4 * MIB)),
}


@pytest.mark.parametrize("place", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("kind", LARGE)
def test_a_png_with_large_metadata(photo, encode, kind, place):
    data = with_png_chunk(encode(photo), png_chunk(*LARGE[kind]), before=place)
    assert np.array_equal(np.asarray(decode(data)), np.asarray(photo))


def test_many_large_texts_in_one_png(photo, encode):
    text = png_chunk(b"zTXt", b"Comment\0\0" + large(16))
    data = with_png_chunk(encode(photo), text * 200)
    assert np.array_equal(np.asarray(decode(data)), np.asarray(photo))


GROWTH = """
import resource, sys
from photo_classifier.decode import decode
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF)
size = decode(data).size
after = resource.getrusage(resource.RUSAGE_SELF)
print(*size, after.ru_maxrss - before.ru_maxrss, after.ru_utime - before.ru_utime)
"""


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP"])
def test_compressed_metadata_is_not_decompressed(photo, encode, kind):
    name, body = {
        "zTXt": (b"zTXt", b"Comment\0\0" + large(256)),
        "iTXt": (b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0" + large(256)),
        "iCCP": (b"iCCP", b"profile\0\0" + large(256)),
    }[kind]
    data = with_png_chunk(encode(photo), png_chunk(name, body) * 8)
    assert len(data) < 10 * MIB
    done = subprocess.run(
        [sys.executable, "-c", GROWTH],
        input=data,
        capture_output=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr.decode().splitlines()[-1]
    width, height, grown_kib, seconds = done.stdout.split()
    assert (int(width), int(height)) == photo.size
    assert int(grown_kib) < 40 * 1024
    assert float(seconds) < 1


def test_a_jpeg_with_large_metadata(photo, encode):
    data = plain = encode(photo, "JPEG")
    for marker, start in [
        (0xE1, b"http://ns.adobe.com/xmp/extension/\0"), (0xE2, b"ICC_PROFILE\0"), (0xED, b""), (0xFE, b""),
    ]:  # fmt: skip
        for _ in range(60):
            data = with_jpeg_segment(data, marker, start.ljust(65_000, b"x"))
    assert len(data) > 14 * MIB
    assert np.array_equal(np.asarray(decode(data)), np.asarray(decode(plain)))


@pytest.mark.parametrize("name", [b"XMP ", b"ICCP"])
def test_a_webp_with_large_metadata(photo, encode, name):
    options = {"xmp": bytes(8 * MIB)} if name == b"XMP " else {"icc_profile": bytes(8 * MIB)}
    data = encode(photo, "WEBP", lossless=True, **options)
    assert np.array_equal(np.asarray(decode(data)), np.asarray(photo))


@pytest.mark.parametrize(
    "name", [b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"tEXt", b"iTXt", b"tIME", b"eXIf", b"bKGD", b"tRNS", b"acTL"]
)
@pytest.mark.parametrize("damage", ["checksum", "content", "length 0"])
def test_damage_in_an_ancillary_chunk_costs_nothing(photo, encode, name, damage):
    chunk = {
        "checksum": png_chunk(name, b"\0\0\x0b\x13\0\0\x0b\x13\x01", crc=0),
        "content": png_chunk(name, b"\xff" * 300),
        "length 0": png_chunk(name, b""),
    }[damage]
    data = with_png_chunk(encode(photo), chunk)
    assert np.array_equal(np.asarray(decode(data)), np.asarray(photo))


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT", b"PLTE"])
def test_a_wrong_checksum_in_a_critical_chunk_is_named(photo, encode, name):
    data = bytearray(encode(photo.quantize(16)))
    start = data.index(name)
    (length,) = struct.unpack_from(">I", data, start - 4)
    data[start + 4 + length] ^= 1
    problem = refusal(bytes(data))
    assert problem.code == problems.TRUNCATED_IMAGE
    assert name.decode() in problem.detail


def test_damaged_pixels_are_never_classified(photo, encode):
    data = encode(photo, compress_level=0)  # Stored: a changed byte would still decompress.
    position = data.index(b"IDAT") + 2000
    problem = refusal(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])
    assert problem.code == problems.TRUNCATED_IMAGE
    assert "IDAT" in problem.detail


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1", "P", "I;16"])
@pytest.mark.parametrize("missing", [1, 5, 30])
def test_a_png_with_fewer_rows_than_it_announces(photo, encode, mode, missing):
    image = photo.quantize(16) if mode == "P" else photo.convert("L" if mode == "I;16" else mode)
    chunks = dict(png_chunks(encode(image.convert("I;16") if mode == "I;16" else image)))
    rows = zlib.decompress(chunks[b"IDAT"])
    short = rows[: len(rows) * (60 - missing) // 60]
    assert refusal(with_pixels(chunks, short)).code == problems.TRUNCATED_IMAGE
    assert refusal(with_pixels(chunks, rows[:-1])).code == problems.TRUNCATED_IMAGE


@pytest.mark.parametrize("size", [(9, 7), (8, 8), (1, 1), (3, 2), (16, 5)])
def test_an_interlaced_png_with_fewer_rows(size):
    width, height = size
    columns = np.arange(width, dtype=np.uint8)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(
        b"\0" + (columns[left::across] + 1).tobytes()
        for left, top, across, down in passes
        if left < width
        for _ in range(top, height, down)
    )
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1), b"IDAT": b"", b"IEND": b""}
    assert np.array_equal(np.asarray(decode(with_pixels(chunks, rows)))[..., 0], np.tile(columns + 1, (height, 1)))
    last = width if height > 1 else len(columns[1::2]) or 1
    assert refusal(with_pixels(chunks, rows[: -last - 1])).code == problems.TRUNCATED_IMAGE


@pytest.mark.parametrize("damage", ["checksum", "cut checksum", "deflate"])
def test_a_black_picture_whose_stream_is_damaged_behind_sound_chunks(encode, damage):
    """A black end is what makes the rows be counted; whatever is found there is an answer and no failure."""
    chunks = dict(png_chunks(encode(Image.new("L", (300, 200)))))
    stream = chunks[b"IDAT"]
    stream = {
        "checksum": stream[:-4] + b"\x12\x34\x56\x78",
        "cut checksum": stream[:-4],
        "deflate": stream[: len(stream) // 2] + b"\xff" * 20,
    }[damage]
    data = PNG_SIGNATURE + b"".join(
        png_chunk(name, stream if name == b"IDAT" else body) for name, body in chunks.items()
    )
    if damage == "cut checksum":
        assert decode(data).size == (300, 200)
    else:
        assert refusal(data).code == problems.TRUNCATED_IMAGE


def test_black_pictures_are_whole(encode):
    for mode in ("RGB", "RGBA", "L", "1", "P"):
        assert decode(encode(Image.new(mode, (33, 21)))).size == (33, 21)


def with_pixels(chunks: dict[bytes, bytes], rows: bytes) -> bytes:
    """A PNG with these filtered rows, as a well-formed stream of its own."""
    return PNG_SIGNATURE + b"".join(
        png_chunk(name, zlib.compress(rows) if name == b"IDAT" else body) for name, body in chunks.items()
    )


def test_a_png_whose_chunks_cannot_be_followed(photo, encode):
    data = bytearray(with_png_chunk(encode(photo), png_chunk(b"pHYs", bytes(9))))
    data[data.index(b"pHYs") - 4] = 0x7F
    assert refusal(bytes(data)).code == problems.TRUNCATED_IMAGE


def test_pixels_in_many_chunks(photo, encode):
    chunks = dict(png_chunks(encode(photo)))
    pixels = chunks[b"IDAT"]
    pieces = b"".join(png_chunk(b"IDAT", pixels[start : start + 7]) for start in range(0, len(pixels), 7))
    data = PNG_SIGNATURE + png_chunk(b"IHDR", chunks[b"IHDR"]) + pieces + png_chunk(b"IEND", b"")
    assert np.array_equal(np.asarray(decode(data)), np.asarray(photo))


def test_xmp_orientation_does_not_count(photo, encode):
    upright = np.asarray(photo)
    itxt = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
    assert np.array_equal(np.asarray(decode(with_png_chunk(encode(photo), itxt))), upright)
    assert np.array_equal(np.asarray(decode(encode(photo, "WEBP", lossless=True, xmp=XMP))), upright)
    jpeg = encode(photo, "JPEG")
    with_xmp = with_jpeg_segment(jpeg, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
    assert decode(with_xmp).size == photo.size
    assert np.array_equal(np.asarray(decode(with_xmp)), np.asarray(decode(jpeg)))


def test_a_raw_profile_in_a_png_does_not_turn_it(photo, encode):
    """ImageMagick's way before PNG had eXIf. No browser reads it, so the page's preview does not turn either."""
    exif = b"Exif\0\0" + exif_block(6)
    text = f"\nexif\n{len(exif):8}\n{exif.hex()}\n".encode()
    chunk = png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    assert decode(with_png_chunk(encode(photo), chunk)).size == photo.size


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("place", [b"IDAT", b"IEND"])
def test_exif_counts_beside_xmp(photo, encode, order, place):
    data = with_png_chunk(encode(photo), png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP))
    data = with_png_chunk(data, png_chunk(b"eXIf", exif_block(8, order)), before=place)
    assert np.array_equal(np.asarray(decode(data)), np.rot90(np.asarray(photo)))


def test_exif_counts_in_jpeg_and_webp(photo, encode):
    webp = encode(photo, "WEBP", lossless=True, exif=exif_block(8), xmp=XMP)
    assert np.array_equal(np.asarray(decode(webp)), np.rot90(np.asarray(photo)))
    jpeg = with_jpeg_segment(encode(photo, "JPEG"), 0xE1, b"Exif\0\0" + exif_block(8))
    assert decode(jpeg).size == (60, 90)


def test_webp_metadata_that_is_cut_off(photo, encode):
    data = encode(photo, "WEBP", lossless=True, xmp=XMP)
    assert np.array_equal(np.asarray(decode(data[:-40])), np.asarray(photo))


def test_a_webp_without_its_last_padding_byte(photo, encode):
    for width in range(30, 60):
        image = photo.crop((0, 0, width, 20))
        data = encode(image, "WEBP", lossless=True)
        ((_, body),) = riff_chunks(data)
        if len(body) % 2 == 0 or data[-1]:
            continue
        assert np.array_equal(np.asarray(decode(data[:-1])), np.asarray(image))
        return
    pytest.fail("no width gave a chunk of odd length")


@pytest.mark.parametrize("lossless", [True, False])
def test_webp_transparency_does_not_touch_the_colours(photo, encode, lossless):
    image = photo.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(photo.size))
    data = encode(image, "WEBP", lossless=lossless, exact=True)
    assert np.array_equal(np.asarray(decode(data)), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_a_webp_whose_pixels_are_cut_off(photo, encode):
    whole = riff_chunks(encode(photo, "WEBP"))
    data = riff(*whole)
    assert refusal(data[: len(data) - 200]).code == problems.TRUNCATED_IMAGE
    name, body = whole[0]
    assert refusal(riff((name, body[:-200]))).code == problems.TRUNCATED_IMAGE


def exif_block(orientation: int, order: str = ">") -> bytes:
    """A TIFF header, one directory and in it the orientation (EXIF 2.32, 4.6.4)."""
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def refusal(data: bytes) -> InputProblem:
    with pytest.raises(InputProblem) as caught:
        decode(data)
    return caught.value
