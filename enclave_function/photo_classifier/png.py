"""Reduces a PNG to the parts that its pixels need (W3C PNG, third edition, sections 5 and 11).

Texts, XMP and colour profiles can be compressed a thousandfold. A decoder that reads them needs a limit, which some
photos exceed. They do not affect pixels, so they are removed without decompression, with any damage in them. Checksums
of the remaining chunks are verified.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from photo_classifier import formats, problems
from photo_classifier.formats import FormatNotTaken
from photo_classifier.problems import InputProblem
from photo_classifier.reduced import Reduced

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_KEPT: Final = frozenset({b"IHDR", b"PLTE"})
"""Beside IDAT. tRNS is not: transparency is dropped, as `decode` says."""

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of each colour type (11.2.1)."""
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and the steps to the next, of each pass (8.1)."""
_PIECE_BYTES: Final = 1 << 20
_ZLIB_HEADER: Final = 2


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    body: memoryview
    whole: bool
    """Its checksum is there, too."""
    sound: bool
    """Its checksum is right."""


def reduce(data: bytes) -> Reduced:
    """Reduce the PNG `data` to IHDR, PLTE, the first run of IDAT as one chunk, and IEND.

    An animation becomes its default picture. Raises `InputProblem`, `FormatNotTaken`.
    """
    kept: list[tuple[bytes, bytes]] = []
    pixels: list[memoryview] = []
    exif: bytes | None = None
    run_over = False
    for chunk in _chunks(data):
        if chunk.name == b"CgBI":
            raise FormatNotTaken(formats.APPLE_PNG)
        if chunk.name == b"IEND":
            break
        if chunk.name == b"IDAT":
            if run_over:
                continue
            if chunk.whole and not chunk.sound:
                raise _damaged("its pixels are damaged: the checksum of its chunk IDAT is wrong")
            pixels.append(chunk.body)
            continue
        run_over = bool(pixels)
        if chunk.name in _KEPT and not pixels:
            if not chunk.sound:
                raise _damaged(f"its chunk {chunk.name.decode()} is damaged or incomplete")
            kept.append((chunk.name, bytes(chunk.body)))
        elif chunk.name == b"eXIf" and exif is None and chunk.sound:
            exif = bytes(chunk.body)
    if not kept or kept[0][0] != b"IHDR":
        raise _damaged("its header (chunk IHDR) is missing")
    if not pixels:
        raise _damaged("its pixels (chunk IDAT) are missing")
    whole = [*kept, (b"IDAT", b"".join(pixels)), (b"IEND", b"")]
    return Reduced(_SIGNATURE + b"".join(_encoded(name, body) for name, body in whole), exif)


def has_all_rows(reduced: Reduced) -> bool:
    """Whether the pixels decompress to as many bytes as the header announces. Pillow leaves what is missing black."""
    (header, *_, pixels, _) = _chunks(reduced.data)
    width, height, depth, colour, *_, interlaced = struct.unpack(">IIBBBBB", header.body)
    bits = depth * _CHANNELS.get(colour, 1)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    expected = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            expected += rows * (1 + (columns * bits + 7) // 8)
    # Without zlib's header and checksum: the decoder has refused a wrong one, and one that is cut off costs nothing.
    stream, rest = zlib.decompressobj(-zlib.MAX_WBITS), bytes(pixels.body[_ZLIB_HEADER:])
    while expected > 0 and not stream.eof:
        try:
            piece = stream.decompress(rest, _PIECE_BYTES)
        except zlib.error:
            return False
        if not piece:
            break
        expected -= len(piece)
        rest = stream.unconsumed_tail
    return expected <= 0


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks of `data` until they end or cannot be followed; the last one may be incomplete."""
    view = memoryview(data)
    position = len(_SIGNATURE)
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        if not name.isalpha():
            return
        start, end = position + 8, position + 8 + length
        body = view[start:end]
        whole = end + 4 <= len(data)
        # Most of a hostile file may be chunks that are not looked at, and need no sum.
        looked_at = name in _KEPT or name in {b"IDAT", b"eXIf"}
        sound = whole and looked_at and zlib.crc32(body, zlib.crc32(name)) == int.from_bytes(view[end : end + 4], "big")
        yield _Chunk(name, body, whole, sound)
        position = end + 4


def _encoded(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), name) + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))


def _damaged(what: str) -> InputProblem:
    return InputProblem(problems.TRUNCATED_IMAGE, f"The PNG is truncated or damaged: {what}.")
