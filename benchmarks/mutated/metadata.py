"""Metadata that lies, and metadata that is large: EXIF blocks, colour profiles, comments."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING

from benchmarks.mutated.blocks import LAYOUTS, PNG_START, Block

if TYPE_CHECKING:
    import random

_ORIENTATION = 0x0112
_SEGMENT = 65_533 - 20


def exif(chance: random.Random) -> bytes:
    """A TIFF header and directories whose orientation has a value, type, count or place that is not allowed, or whose
    directories form a circle.
    """
    order, mark = chance.choice(((">", b"MM\x00*"), ("<", b"II*\x00")))
    first = chance.choice((8, 8, 8, 8, 0, 4, 0xFFFFFFFF, 7))
    entries = [
        struct.pack(
            f"{order}HHI",
            chance.choice((_ORIENTATION, _ORIENTATION, 0x8769, 0x0201, chance.randrange(65536))),
            chance.choice((3, 3, 3, 4, 1, 2, 5, 7, 12, 0, 255, chance.randrange(65536))),
            chance.choice((1, 1, 1, 0, 2, 0xFFFFFFFF, 0x40000000)),
        )
        + chance.choice((struct.pack(f"{order}HH", chance.randrange(12), 0), chance.randbytes(4)))
        for _ in range(chance.choice((1, 1, 2, 5, 200)))
    ]
    count = chance.choice((len(entries), len(entries), 0, 65535))
    after = struct.pack(f"{order}I", chance.choice((0, 8, 8, 0xFFFFFFFF, chance.randrange(2000))))
    return mark + struct.pack(f"{order}I", first) + struct.pack(f"{order}H", count) + b"".join(entries) + after


def profile(chance: random.Random) -> bytes:
    """A colour profile that states a size that it has not, or is only noise."""
    size = chance.choice((0, 128, 0xFFFFFFFF, 3000))
    content = chance.choice((chance.randbytes(3000), bytes(3000), b"acsp" * 700))
    return struct.pack(">I", size) + content


def jpeg_profile_bomb(chance: random.Random) -> list[Block]:
    """Many segments of a profile, whose numbers do not match."""
    count = chance.choice((1, 16, 64, 255))
    content = chance.choice((bytes(_SEGMENT), profile(chance)))
    return [
        Block(
            b"\xe2",
            b"ICC_PROFILE\x00"
            + bytes([chance.choice((index & 255, 0, 1)), chance.choice((count & 255, 0, 1))])
            + content,
        )
        for index in range(1, count + 1)
    ]


def png_profile_bomb(chance: random.Random) -> Block:
    """A compressed chunk of 1 to 200 MiB of zeros: a profile or a text."""
    packed = compressed_zeros(chance.choice((1, 16, 200)))
    return chance.choice(
        (
            Block(b"iCCP", b"profile\x00\x00" + packed),
            Block(b"zTXt", b"Comment\x00\x00" + packed),
            Block(b"iTXt", b"Comment\x00\x01\x00\x00\x00" + packed),
        )
    )


@cache
def compressed_zeros(mebibytes: int) -> bytes:
    """That many MiB of zeros as a zlib stream."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    return b"".join([*(packer.compress(block) for _ in range(mebibytes)), packer.flush()])


def with_foreign(chance: random.Random, data: bytes, foreign: bytes) -> bytes:
    """`data` with `foreign` in a comment, where the format has one; otherwise behind it."""
    if data.startswith(b"\xff\xd8"):
        kind = chance.choice((b"\xfe", b"\xe1", b"\xe2", b"\xed"))
        blocks = [Block(kind, foreign[:_SEGMENT]), *LAYOUTS["jpeg"].read(data)]
        return LAYOUTS["jpeg"].write(blocks)
    if data.startswith(PNG_START):
        first, *rest = LAYOUTS["png"].read(data)
        return LAYOUTS["png"].write([first, Block(b"teSt", foreign), *rest])
    if data[:4] == b"RIFF":
        return LAYOUTS["webp"].write([*LAYOUTS["webp"].read(data), Block(b"XMP ", foreign)])
    return data + foreign
