"""Harness for photos: detection of the format, removal of metadata before decoding, and detection of missing pixels."""

from __future__ import annotations

import base64
import struct
import sys
import zlib
from pathlib import Path
from typing import Final

from fuzz.target import KIB, Target

# The function imports its modules relative to its folder, as in a bundle.
_FUNCTION: Final = str(Path(__file__).resolve().parents[2] / "enclave_function")
if _FUNCTION not in sys.path:
    sys.path.append(_FUNCTION)

from photo_classifier import exif, formats, jpeg, png, webp  # noqa: E402 -- after the path is set
from photo_classifier.decode import decode  # noqa: E402 -- as above
from photo_classifier.formats import FormatNotTaken  # noqa: E402 -- as above
from photo_classifier.problems import InputProblem  # noqa: E402 -- as above

_PIXELS: Final = 64 * 64


def run(data: bytes) -> None:
    """Check that a decoded photo is RGB within the limit, and that reducing a reduced file changes nothing."""
    assert 1 <= exif.orientation(data) <= 8
    found = formats.identify(data)
    if found is formats.JPEG:
        structure = jpeg.structure(data)
        assert structure.pixels_end is None or 0 < structure.pixels_end <= len(data)
    if found is formats.PNG:
        data = _mended(data)
    if found in {formats.PNG, formats.WEBP}:
        reduce = png.reduce if found is formats.PNG else webp.reduce
        reduced = reduce(data)
        assert len(reduced.data) <= len(data) + 64
        assert reduce(reduced.data).data == reduced.data
    picture = decode(data, max_pixels=_PIXELS)
    assert picture.mode == "RGB"
    assert 0 < picture.width * picture.height <= _PIXELS


def _mended(data: bytes) -> bytes:
    """Correct the checksums of a PNG's chunks, so that mutations inside them reach the parser."""
    mended, position = bytearray(data), 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        mended[end : end + 4] = struct.pack(">I", zlib.crc32(data[position + 4 : end]))
        position = end + 4
    return bytes(mended)


def seeds() -> dict[str, bytes]:
    """Photos of a few pixels, complete and truncated. Those of Pillow are stored, since its versions differ."""
    kept = {name: base64.b64decode(text) for name, text in _ENCODED.items()}
    return {
        **kept,
        "png": _png(8, 2, b"\0" + bytes(range(12)) + b"\2" + bytes(range(12)), 4, 2),
        "interlaced": _png(8, 0, b"\0\1\0\2\0\3\4", 2, 2, interlaced=1),
        "text": _png(1, 3, b"\0\xaa", 8, 1, (b"PLTE", bytes(6)), (b"zTXt", b"a\0\0" + zlib.compress(b"a" * 99, 0))),
        "turned": _png(16, 0, b"\0\1\2", 1, 1, (b"eXIf", _EXIF)),
        "jpeg_cut": kept["jpeg"][:-2],
        "progressive_cut": kept["progressive"][:-2],
        "restarts_cut": kept["restarts"][:-6],
        "heic": struct.pack(">I", 20) + b"ftypmif1" + bytes(4) + b"heic",
    }


def _png(
    depth: int, colour: int, rows: bytes, width: int, height: int, *more: tuple[bytes, bytes], interlaced: int = 0
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    # Not compressed, so that all versions of zlib give the same bytes.
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I4s", len(body), name) + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


_EXIF: Final = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)

_ENCODED: Final = {
    "jpeg": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWG"
    "kJ6jq62rZ4C8ybqmx5moq6T/wAALCAAIAAgBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAABP/EABgQAAIDAAAAAAAAAAAAAAAA"
    "AAAEBSIx/9oACAEBAAA/ADKx+VP/2Q==",
    "restarts": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWG"
    "kJ6jq62rZ4C8ybqmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSk"
    "pKSkpKSkpKSkpKSkpKT/wAARCAAJAAsDASIAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAABP/EABoQAAEFAQAAAAAAAAAA"
    "AAAAAAABAgMEITH/xAAVAQEBAAAAAAAAAAAAAAAAAAABAv/EABgRAAMBAQAAAAAAAAAAAAAAAAABAgQS/90ABAAB/9oADAMB"
    "AAIRAxEAPwAMFHmDW0cTBEA1vEJVMM+i+T//2Q==",
    "progressive": "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdB"
    "RkxOUlNSMj5aYVpQYEpRUk//wgALCAAIAAgBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAABP/aAAgBAQAAAAE3/8QAFhAAAwAA"
    "AAAAAAAAAAAAAAAAAAME/9oACAEBAAEFAlTn/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQAGPwJ//8QAFRABAQAAAAAA"
    "AAAAAAAAAAAAAGH/2gAIAQEAAT8hg//aAAgBAQAAABB//8QAFhAAAwAAAAAAAAAAAAAAAAAAADHB/9oACAEBAAE/EESf/9k=",
    "webp": "UklGRnAAAABXRUJQVlA4WAoAAAAIAAAAAQAAAQAAVlA4TC8AAAAvAUAAAB8gECAsmRKlXCCQ4phmWkHbNgydnn3+QAZn/sNy"
    "gM8elAQIgKKMRPQ/BgBFWElGGgAAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAAAAAA",
    "lossy": "UklGRjgAAABXRUJQVlA4ICwAAACwAQCdASoLAAkAB0CWJbAC7ACyOWIAAP7acmxnHbKXr5Wb35ad6+H2HgAAAA==",
    "animation": "UklGRr4AAABXRUJQVlA4WAoAAAACAAAAAQAAAQAAQU5JTQYAAAAAAAAAAABBTk1GRgAAAAAAAAAAAAEAAAEAAAAAAAJWUDhM"
    "LQAAAC8BQAAAHyAQSJiWCmpygUCKY5ppNW0bsPgPks75j3rkgUBN2wYsfpOOiP4HBwBBTk1GRAAAAAAAAAAAAAEAAAEAAAAA"
    "AABWUDhMKwAAAC8BQAAAHyAQSJiWCmpygUCKY5ppNW0bsPgPks75j3rkgYBsgDJVmEX0Pz4A",
}

TARGET = Target(
    run,
    (InputProblem, FormatNotTaken),
    seeds,
    max_bytes=2 * KIB,
    # Pillow caches tables of codecs, and a decoded photo of 64 x 64 pixels exists in several forms.
    base_bytes=2 * KIB * KIB,
    words=(
        b"IHDR",
        b"IDAT",
        b"PLTE",
        b"eXIf",
        b"VP8X",
        b"ANMF",
        b"EXIF",
        b"\xff\xda",
        b"\xff\xd9",
        b"\xff\xdd\x00\x04",
    ),
)
