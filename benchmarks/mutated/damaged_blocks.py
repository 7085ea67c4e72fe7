"""Mutations of a file's blocks: lies about lengths, sizes and checksums, and blocks too many, missing or moved."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.mutated import metadata
from benchmarks.mutated.blocks import Block

if TYPE_CHECKING:
    import random

Blocks = list[Block]
Mutation = Callable[["random.Random", Blocks], Blocks]

_LENGTHS = (0, 1, 2, 7, 8, 12, 255, 65535, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_SIDES = (0, 1, 2, 7, 4096, 8192, 16383, 16384, 32768, 65500, 65535)
_PNG_SIDES = (*_SIDES, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF)
_FRAMES = frozenset(bytes([0xC0 + number]) for number in range(16)) - {b"\xc4", b"\xc8", b"\xcc"}


def _changed(chance: random.Random, blocks: Blocks, change: Callable[[Block], Block], *kinds: bytes) -> Blocks:
    """One of the blocks of these kinds, or of any kind, is changed; if there is none, the last one is removed."""
    places = [index for index, block in enumerate(blocks) if not kinds or block.kind in kinds]
    if not places:
        return blocks[:-1]
    at = chance.choice(places)
    return [*blocks[:at], change(blocks[at]), *blocks[at + 1 :]]


def _length_lie(chance: random.Random, blocks: Blocks) -> Blocks:
    def lie(block: Block) -> Block:
        near = len(block.content) + chance.randint(-9, 9)
        return replace(block, length=chance.choice((max(near, 0), *_LENGTHS)))

    return _changed(chance, blocks, lie)


def _duplicated(chance: random.Random, blocks: Blocks) -> Blocks:
    at = chance.randrange(len(blocks))
    return blocks[:at] + [blocks[at]] * chance.choice((2, 3, 50)) + blocks[at + 1 :]


def _removed(chance: random.Random, blocks: Blocks) -> Blocks:
    at = chance.randrange(len(blocks))
    return blocks[:at] + blocks[at + 1 :]


def _shuffled(chance: random.Random, blocks: Blocks) -> Blocks:
    return chance.sample(blocks, len(blocks))


def _swapped(chance: random.Random, blocks: Blocks) -> Blocks:
    moved = list(blocks)
    one, other = chance.randrange(len(moved)), chance.randrange(len(moved))
    moved[one], moved[other] = moved[other], moved[one]
    return moved


def _content_damaged(chance: random.Random, blocks: Blocks) -> Blocks:
    def damage(block: Block) -> Block:
        content = bytearray(block.content)
        for _ in range(chance.randint(1, 8) if content else 0):
            content[chance.randrange(len(content))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        return block.but(bytes(content[: chance.randint(0, len(content))] if chance.random() < 0.2 else content))

    return _changed(chance, blocks, damage)


def _renamed(chance: random.Random, blocks: Blocks) -> Blocks:
    def rename(block: Block) -> Block:
        return replace(block, kind=chance.choice((chance.choice(blocks).kind, chance.randbytes(len(block.kind)))))

    return _changed(chance, blocks, rename)


GENERAL: dict[str, Mutation] = {
    "length of a block lies": _length_lie,
    "block duplicated": _duplicated,
    "block removed": _removed,
    "blocks shuffled": _shuffled,
    "blocks swapped": _swapped,
    "content of a block damaged": _content_damaged,
    "block renamed": _renamed,
}
"""Of every format that consists of blocks."""


def _jpeg_size(chance: random.Random, blocks: Blocks) -> Blocks:
    def enlarge(block: Block) -> Block:
        height, width = struct.unpack_from(">HH", block.content, 1)
        sides = chance.choice((height, *_SIDES)), chance.choice((width, *_SIDES))
        return block.but(block.content[:1] + struct.pack(">HH", *sides) + block.content[5:])

    return _changed(chance, blocks, enlarge, *_FRAMES)


def _jpeg_frame(chance: random.Random, blocks: Blocks) -> Blocks:
    """Precision, number of components, sampling factors and tables, or another coding process."""

    def change(block: Block) -> Block:
        content = bytearray(block.content)
        at = chance.choice((0, 5, *range(6, len(content))))
        content[at] = chance.choice((0, 1, 2, 3, 4, 0x11, 0x14, 0x41, 0x44, 0xFF, chance.randrange(256)))
        kind = chance.choice((block.kind, block.kind, bytes([0xC0 + chance.randrange(16)])))
        return replace(block, kind=kind, content=bytes(content))

    return _changed(chance, blocks, change, *_FRAMES)


def _jpeg_exif(chance: random.Random, blocks: Blocks) -> Blocks:
    kept = [block for block in blocks if block.kind != b"\xe1"]
    return [Block(b"\xe1", b"Exif\x00\x00" + metadata.exif(chance))] * chance.choice((1, 1, 3)) + kept


def _jpeg_profile(chance: random.Random, blocks: Blocks) -> Blocks:
    return metadata.jpeg_profile_bomb(chance) + [block for block in blocks if block.kind != b"\xe2"]


def _jpeg_scans(chance: random.Random, blocks: Blocks) -> Blocks:
    """Scans are cut, left out, repeated often, or come in another order."""
    scans = [index for index, block in enumerate(blocks) if block.kind == b"\xda"]
    if not scans:
        return blocks
    at = chance.choice(scans)
    match chance.randrange(5):
        case 0:
            return blocks[:at]
        case 1:
            scan = blocks[at]
            cut = replace(scan, data=scan.data[: chance.randint(0, len(scan.data))])
            return [*blocks[:at], cut, *(blocks[at + 1 :] if chance.random() < 0.5 else ())]
        case 2:
            return blocks + [blocks[at]] * chance.choice((1, 20, 500))
        case 3:
            return blocks[:at] + blocks[at + 1 :]
        case _:
            others = [block for block in blocks if block.kind != b"\xda"]
            return others + chance.sample([blocks[index] for index in scans], len(scans))


def _jpeg_scan_header(chance: random.Random, blocks: Blocks) -> Blocks:
    def change(block: Block) -> Block:
        content = bytearray(block.content)
        content[chance.randrange(len(content))] = chance.choice((0, 1, 3, 4, 63, 64, 255, chance.randrange(256)))
        return block.but(bytes(content))

    return _changed(chance, blocks, change, b"\xda")


def _jpeg_tables(chance: random.Random, blocks: Blocks) -> Blocks:
    return _changed(chance, blocks, lambda block: block.but(_noise(chance, block.content)), b"\xc4", b"\xdb")


def _jpeg_restarts(chance: random.Random, blocks: Blocks) -> Blocks:
    return [Block(b"\xdd", struct.pack(">H", chance.choice((0, 1, 2, 255, 65535)))), *blocks]


def _noise(chance: random.Random, content: bytes) -> bytes:
    return content[:1] + chance.randbytes(max(len(content) - 1, 0))


def _png_header(chance: random.Random, blocks: Blocks) -> Blocks:
    def change(block: Block) -> Block:
        width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", block.content)
        depth, colour = chance.choice((depth, 1, 2, 4, 8, 16, 3, 0)), chance.choice((colour, 0, 2, 3, 4, 6, 1, 7))
        rest = [chance.choice((each, each, 1, 2)) for each in rest]
        return block.but(struct.pack(">IIBBBBB", width, height, depth, colour, *rest))

    return _changed(chance, blocks, change, b"IHDR")


def _png_size(chance: random.Random, blocks: Blocks) -> Blocks:
    def change(block: Block) -> Block:
        width, height = struct.unpack_from(">II", block.content)
        sides = chance.choice((width, *_PNG_SIDES)), chance.choice((height, *_PNG_SIDES))
        return block.but(struct.pack(">II", *sides) + block.content[8:])

    return _changed(chance, blocks, change, b"IHDR", b"fcTL")


def _png_bomb(chance: random.Random, blocks: Blocks) -> Blocks:
    """Pixels that need more room than the header says, or a header that fits a bomb."""
    side = chance.choice((512, 4096, 8192, 8193, 30000))
    header = Block(b"IHDR", struct.pack(">IIBBBBB", side, side, chance.choice((1, 8)), 0, 0, 0, chance.choice((0, 1))))
    first = header if chance.random() < 0.7 else blocks[0]
    zeros = metadata.compressed_zeros(chance.choice((1, 16, 65, 200)))
    return [first, Block(b"IDAT", zeros), Block(b"IEND", b"")]


def _png_checksum(chance: random.Random, blocks: Blocks) -> Blocks:
    return _changed(chance, blocks, lambda block: replace(block, checksum=chance.randrange(1 << 32)))


def _png_zlib(chance: random.Random, blocks: Blocks) -> Blocks:
    """Damage within the compressed pixels, with right checksums of the chunks."""

    def damage(block: Block) -> Block:
        match chance.randrange(4):
            case 0:
                return block.but(_bits(chance, block.content))
            case 1:
                return block.but(block.content[: chance.randint(0, len(block.content))])
            case 2:
                return block.but(block.content[:-4] + chance.randbytes(4))
            case _:
                return block.but(zlib.compress(chance.randbytes(chance.choice((1, 1000, 100_000)))))

    return _changed(chance, blocks, damage, b"IDAT", b"fdAT")


def _png_filters(chance: random.Random, blocks: Blocks) -> Blocks:
    """Pixels that are compressed anew after damage, so that filter types and values are wrong and all else is right."""
    pixels = b"".join(block.content for block in blocks if block.kind == b"IDAT")
    raw = bytearray(zlib.decompress(pixels))
    for _ in range(chance.choice((1, 100, 5000))):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    first = next(index for index, block in enumerate(blocks) if block.kind == b"IDAT")
    others = [block for block in blocks if block.kind != b"IDAT"]
    return [*others[:first], Block(b"IDAT", zlib.compress(bytes(raw), 1)), *others[first:]]


def _png_exif(chance: random.Random, blocks: Blocks) -> Blocks:
    return [blocks[0], Block(b"eXIf", metadata.exif(chance)), *blocks[1:]]


def _png_profile(chance: random.Random, blocks: Blocks) -> Blocks:
    return [blocks[0], metadata.png_profile_bomb(chance), *blocks[1:]]


def _png_extras(chance: random.Random, blocks: Blocks) -> Blocks:
    """A palette, a transparency or an animation control that does not match the image."""
    extra = chance.choice(
        (
            Block(b"PLTE", chance.randbytes(chance.choice((0, 1, 3, 768, 771)))),
            Block(b"tRNS", chance.randbytes(chance.choice((0, 1, 2, 6, 256, 1000)))),
            Block(b"acTL", struct.pack(">II", chance.choice((0, 1, 0xFFFFFFFF)), 0)),
            Block(b"fcTL", chance.randbytes(26)),
            Block(b"gAMA", bytes(4)),
        )
    )
    return [blocks[0], extra, *blocks[1:]]


def _bits(chance: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 8, 64)) if changed else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _webp_canvas(chance: random.Random, blocks: Blocks) -> Blocks:
    canvas = Block(
        b"VP8X",
        bytes([chance.randrange(256), 0, 0, 0])
        + b"".join(chance.choice((1, 479, 8191, 16383, 0xFFFFFF)).to_bytes(3, "little") for _ in range(2)),
    )
    return [canvas, *(block for block in blocks if block.kind != b"VP8X")]


def _webp_size(chance: random.Random, blocks: Blocks) -> Blocks:
    def change(block: Block) -> Block:
        at = 6 if block.kind == b"VP8 " else 1
        if len(block.content) < at + 4:
            return block
        sides = struct.pack("<HH", chance.randrange(65536), chance.choice((*_SIDES, chance.randrange(65536))))
        return block.but(block.content[:at] + sides + block.content[at + 4 :])

    return _changed(chance, blocks, change, b"VP8 ", b"VP8L", b"ANMF")


def _webp_pixels(chance: random.Random, blocks: Blocks) -> Blocks:
    return _changed(chance, blocks, lambda block: block.but(_bits(chance, block.content)), b"VP8 ", b"VP8L", b"ALPH")


def _webp_exif(chance: random.Random, blocks: Blocks) -> Blocks:
    start = chance.choice((b"", b"Exif\x00\x00"))
    return [*(block for block in blocks if block.kind != b"EXIF"), Block(b"EXIF", start + metadata.exif(chance))]


def _webp_profile(chance: random.Random, blocks: Blocks) -> Blocks:
    bomb = chance.choice((bytes(2 << 20), metadata.profile(chance)))
    return [blocks[0], Block(b"ICCP", bomb), *blocks[1:]]


def _webp_frames(chance: random.Random, blocks: Blocks) -> Blocks:
    frames = [block for block in blocks if block.kind == b"ANMF"]
    return blocks + frames * chance.choice((1, 10)) if frames else _webp_canvas(chance, blocks)


def _avif_size(chance: random.Random, blocks: Blocks) -> Blocks:
    def change(block: Block) -> Block:
        return block.but(block.content[:4] + struct.pack(">II", *(chance.choice(_PNG_SIDES) for _ in range(2))))

    return _changed(chance, blocks, change, b"ispe")


def _avif_properties(chance: random.Random, blocks: Blocks) -> Blocks:
    """Rotation, mirroring, places of the coded data, associations, references and configuration are noise."""
    kinds = (b"irot", b"imir", b"iloc", b"ipma", b"iinf", b"iref", b"av1C", b"colr", b"pitm", b"auxC", b"stsz", b"stco")
    return _changed(chance, blocks, lambda block: block.but(_bits(chance, block.content)), *kinds)


def _avif_pixels(chance: random.Random, blocks: Blocks) -> Blocks:
    return _changed(chance, blocks, lambda block: block.but(_bits(chance, block.content)), b"mdat")


OF_FORMAT: dict[str, dict[str, Mutation]] = {
    "jpeg": {
        "JPEG: size": _jpeg_size,
        "JPEG: frame header": _jpeg_frame,
        "JPEG: EXIF": _jpeg_exif,
        "JPEG: colour profile": _jpeg_profile,
        "JPEG: scans": _jpeg_scans,
        "JPEG: scan header": _jpeg_scan_header,
        "JPEG: tables": _jpeg_tables,
        "JPEG: restart interval": _jpeg_restarts,
    },
    "png": {
        "PNG: header": _png_header,
        "PNG: size": _png_size,
        "PNG: decompression bomb": _png_bomb,
        "PNG: checksum": _png_checksum,
        "PNG: zlib stream": _png_zlib,
        "PNG: filters": _png_filters,
        "PNG: EXIF": _png_exif,
        "PNG: compressed metadata": _png_profile,
        "PNG: ancillary chunks": _png_extras,
    },
    "webp": {
        "WebP: canvas": _webp_canvas,
        "WebP: size": _webp_size,
        "WebP: pixels": _webp_pixels,
        "WebP: EXIF": _webp_exif,
        "WebP: colour profile": _webp_profile,
        "WebP: frames": _webp_frames,
    },
    "avif": {
        "AVIF: size": _avif_size,
        "AVIF: properties": _avif_properties,
        "AVIF: pixels": _avif_pixels,
    },
}
