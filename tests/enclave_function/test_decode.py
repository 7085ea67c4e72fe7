"""Every kind of picture that callers send, decoded to the pixels that they see."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from photo_classifier import problems
from photo_classifier.decode import MAX_BYTES, MAX_PIXELS, decode, looks_encoded
from photo_classifier.problems import InputProblem

TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}
"""What a viewer does to the stored rows for each EXIF orientation (EXIF 2.32, tag 0x0112)."""


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_exif_orientation_is_applied(photo, encode, orientation, image_format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if image_format == "WEBP" else {}
    decoded = decode(encode(photo, image_format, exif=exif, **options))
    assert np.array_equal(np.asarray(decoded), TURNED[orientation](np.asarray(photo)))


@pytest.mark.parametrize("orientation", [*TURNED, 0, 9, 300])
def test_a_jpeg_is_turned_as_pillow_turns_it(photo, encode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(photo, "JPEG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(np.asarray(decode(data)), np.asarray(expected))


def test_a_damaged_exif_block_turns_nothing(photo, encode):
    plain = decode(encode(photo, "JPEG"))
    assert np.array_equal(
        np.asarray(decode(encode(photo, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))), np.asarray(plain)
    )


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_grey(photo, encode, image_format):
    grey = photo.convert("L")
    options = {"lossless": True} if image_format == "WEBP" else {}
    decoded = np.asarray(decode(encode(grey, image_format, **options)))
    assert decoded.shape == (60, 90, 3)
    assert np.array_equal(decoded[..., 0], decoded[..., 1])
    assert abs(decoded[..., 2].astype(int) - np.asarray(grey)).max() <= (4 if image_format == "JPEG" else 0)


@pytest.mark.parametrize(("mode", "image_format"), [("LA", "PNG"), ("RGBA", "PNG"), ("RGBA", "WEBP")])
def test_transparency_is_dropped(photo, encode, mode, image_format):
    image = photo.convert(mode)
    image.putalpha(Image.linear_gradient("L").resize(photo.size))
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    opaque = photo.convert("L").convert("RGB") if mode == "LA" else photo
    assert np.array_equal(np.asarray(decode(encode(image, image_format, **options))), np.asarray(opaque))


def test_cmyk_jpeg_is_not_inverted(encode):
    cmyk = Image.new("RGB", (32, 32), (200, 40, 30)).convert("CMYK")
    mean = np.asarray(decode(encode(cmyk, "JPEG", quality=95))).reshape(-1, 3).mean(axis=0)
    assert np.allclose(mean, (200, 40, 30), atol=3)


@pytest.mark.parametrize("transparency", [None, 7, bytes(range(64))])
def test_palette(photo, encode, transparency):
    palette = photo.quantize(64)
    options = {} if transparency is None else {"transparency": transparency}
    decoded = decode(encode(palette, "PNG", **options))
    assert np.array_equal(np.asarray(decoded), np.asarray(palette.convert("RGB")))


def test_one_bit(encode):
    image = Image.fromarray((np.indices((16, 24)).sum(axis=0) % 2 * 255).astype(np.uint8)).convert("1")
    assert np.array_equal(np.asarray(decode(encode(image, "PNG")))[..., 1], np.asarray(image.convert("L")))


def test_16_bit_grey_is_scaled_not_clipped(encode):
    deep = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    decoded = np.asarray(decode(encode(Image.fromarray(deep), "PNG")))
    assert np.array_equal(decoded[..., 0], np.round(deep / 257).astype(np.uint8))


def test_16_bit_colour():
    deep = np.linspace(0, 65535, 8 * 8 * 3).astype(">u2").reshape(8, 8, 3)
    data = png(8, 8, depth=16, colour=2, rows=b"".join(b"\0" + row.tobytes() for row in deep))
    assert np.array_equal(np.asarray(decode(data)), (deep >> 8).astype(np.uint8))


@pytest.mark.parametrize("image_format", ["WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(photo, encode, image_format):
    others = [Image.new("RGB", photo.size, colour) for colour in ("red", "blue")]
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encode(photo, image_format, save_all=True, append_images=others, duration=100, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert np.array_equal(np.asarray(decode(data)), np.asarray(photo))


def test_progressive_jpeg(photo, encode):
    data = encode(photo, "JPEG", progressive=True, quality=95, subsampling=0)
    assert b"\xff\xc2" in data
    assert abs(np.asarray(decode(data)).astype(int) - np.asarray(photo)).mean() < 6


def test_limits_are_inclusive(photo, encode):
    data = encode(photo, "PNG")
    decode(data, max_bytes=len(data), max_pixels=90 * 60)
    assert refusal(data, max_bytes=len(data) - 1).code == problems.IMAGE_TOO_LARGE
    problem = refusal(data, max_pixels=90 * 60 - 1)
    assert (problem.code, problem.limits) == (problems.TOO_MANY_PIXELS, {"limit_pixels": 5399})


def test_the_empty_input_is_named_as_such():
    assert refusal(b"").code == problems.EMPTY_BODY


def test_too_many_bytes_are_refused_unread():
    assert refusal(b"\xff\xd8\xff" + bytes(MAX_BYTES)).code == problems.IMAGE_TOO_LARGE


@pytest.mark.parametrize("data", [b"hello", b"PK\x03\x04" + bytes(100), bytes(1000), b"BM", b"P", b"<html></html>"])
def test_what_is_no_image_is_called_so(data):
    assert refusal(data).code == problems.NOT_AN_IMAGE


def test_problems_quote_no_input_bytes(encode):
    marker = "Sensitive4711"
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", marker)
    data = encode(Image.new("RGB", (40, 40), "red"), "PNG", pnginfo=info)
    assert marker.encode() in data
    problem = refusal(data[:-60])
    assert marker not in problem.detail + str(problem) + str(problem.limits)


@pytest.mark.parametrize(
    ("image_format", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True})],
)
def test_every_truncation_is_a_problem_or_the_whole_picture(image_format, options, encode):
    noise = np.random.default_rng(3).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), image_format, **options)
    whole = decode(data)
    assert outcome(b"") == problems.EMPTY_BODY
    for length in range(1, len(data)):
        result = outcome(data[:length])
        if isinstance(result, Image.Image):
            # Only checksums and the end marker, with no pixels in them, can be missing: 20 bytes of a PNG.
            assert length >= len(data) - 20, length
            assert np.array_equal(np.asarray(result), np.asarray(whole)), length
        elif looks_encoded(data[:length]):
            assert result == problems.TRUNCATED_IMAGE, length
        else:
            assert result == problems.NOT_AN_IMAGE, length


def outcome(data: bytes) -> Image.Image | str:
    try:
        return decode(data)
    except InputProblem as problem:
        return problem.code


BOMB = """
import resource, sys
from photo_classifier.decode import decode
from photo_classifier.problems import InputProblem
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF)
try:
    decode(data)
except InputProblem as problem:
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(problem.code, after.ru_maxrss - before.ru_maxrss, after.ru_utime - before.ru_utime)
"""


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_a_decompression_bomb_is_refused_undecoded(kind, encode):
    data = {"png": png_bomb, "webp": webp_bomb, "jpeg": jpeg_bomb}[kind](encode)
    assert len(data) < 1_000_000
    done = subprocess.run(
        [sys.executable, "-c", BOMB],
        input=data,
        capture_output=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    code, grown_kib, seconds = done.stdout.split()
    assert code.decode() == problems.TOO_MANY_PIXELS
    assert int(grown_kib) < 32 * 1024
    assert float(seconds) < 1


def test_the_largest_allowed_picture_is_decoded():
    side = int(MAX_PIXELS**0.5)
    data = png(side, side, depth=1, colour=0, rows=(b"\0" + b"\xaa" * ((side + 7) // 8)) * side)
    assert decode(data).size == (side, side)


def refusal(data: bytes, **limits: int) -> InputProblem:
    with pytest.raises(InputProblem) as caught:
        decode(data, **limits)
    return caught.value


def png(width: int, height: int, *, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG with the filtered scan lines `rows` (PNG specification, sections 5 and 11)."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def png_bomb(_) -> bytes:
    """20000 x 20000 pixels that decode to 1.2 GB of RGB, cut where Pillow would still start decoding."""
    return png(20_000, 20_000, depth=1, colour=0, rows=(b"\0" + bytes(2500)) * 20_000)


def webp_bomb(encode) -> bytes:
    """An animation of tiny frames on a canvas of 16384 x 16384 (RIFF container: VP8X bytes 24 to 29)."""
    frames = [Image.new("RGBA", (4, 4), colour) for colour in ("red", "blue")]
    data = bytearray(encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    assert data[12:16] == b"VP8X"
    data[24:30] = (16383).to_bytes(3, "little") * 2
    return bytes(data)


def jpeg_bomb(encode) -> bytes:
    """A small JPEG whose frame header announces 65500 x 65500 pixels (ITU-T T.81, B.2.2)."""
    data = bytearray(encode(Image.new("RGB", (8, 8)), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65500, 65500)
    return bytes(data)
