"""Files as sequences of blocks: JPEG segments, PNG and RIFF chunks, boxes of ISO base media.

A reader of originals only, which are well-formed. Blocks can be written in any order and with any content.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PNG_START = b"\x89PNG\r\n\x1a\n"
_SOI, _SOS, _EOI = 0xD8, 0xDA, 0xD9
_CONTAINERS = frozenset({b"meta", b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl"})


@dataclass(frozen=True)
class Block:
    """One block. `kind` is a JPEG marker's second byte or a name of four bytes; `length` is stated instead of the
    content's, and `checksum` instead of the right one, if they are not None. `data`: the coded pixels behind a scan's
    header.
    """

    kind: bytes
    content: bytes
    data: bytes = b""
    length: int | None = None
    checksum: int | None = None

    def but(self, content: bytes) -> Block:
        return replace(self, content=content)


@dataclass(frozen=True)
class Layout:
    """How a format's files are read and written as blocks."""

    read: Callable[[bytes], list[Block]]
    write: Callable[[list[Block]], bytes]


def _read_jpeg(data: bytes) -> list[Block]:
    blocks, at = [], 2
    while at + 4 <= len(data) and data[at + 1] != _EOI:
        kind, (length,) = data[at + 1 : at + 2], struct.unpack_from(">H", data, at + 2)
        content, at = data[at + 4 : at + 2 + length], at + 2 + length
        coded = b""
        if kind[0] == _SOS:
            end = at
            while end + 1 < len(data) and not (
                data[end] == 0xFF and data[end + 1] != 0 and not 0xD0 <= data[end + 1] <= 0xD7
            ):
                end = data.find(b"\xff", end + 1)
                end = len(data) if end < 0 else end
            coded, at = data[at:end], end
        blocks.append(Block(kind, content, coded))
    return blocks


def _write_jpeg(blocks: list[Block]) -> bytes:
    parts = [b"\xff\xd8"]
    for block in blocks:
        length = len(block.content) + 2 if block.length is None else block.length
        parts += [b"\xff", block.kind, struct.pack(">H", length & 0xFFFF), block.content, block.data]
    return b"".join([*parts, b"\xff\xd9"])


def _read_png(data: bytes) -> list[Block]:
    blocks, at = [], len(PNG_START)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        blocks.append(Block(kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    return blocks


def _write_png(blocks: list[Block]) -> bytes:
    parts = [PNG_START]
    for block in blocks:
        length = len(block.content) if block.length is None else block.length
        checksum = zlib.crc32(block.kind + block.content) if block.checksum is None else block.checksum
        parts.append(struct.pack(">I4s", length & 0xFFFFFFFF, block.kind) + block.content)
        parts.append(struct.pack(">I", checksum))
    return b"".join(parts)


def _read_webp(data: bytes) -> list[Block]:
    blocks, at = [], 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        blocks.append(Block(kind, data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return blocks


def _write_webp(blocks: list[Block]) -> bytes:
    parts = []
    for block in blocks:
        length = len(block.content) if block.length is None else block.length
        parts.append(struct.pack("<4sI", block.kind, length & 0xFFFFFFFF) + block.content)
        parts.append(bytes(len(block.content) % 2))
    body = b"WEBP" + b"".join(parts)
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def _read_avif(data: bytes) -> list[Block]:
    """All boxes, those of containers behind their container, which then has no content but a `meta` box's version."""
    blocks, at = [], 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + length if length >= 8 else len(data)
        content = data[at + 8 : end]
        if kind in _CONTAINERS:
            own = 4 if kind == b"meta" else 0
            blocks.append(Block(kind, content[:own], length=length))
            blocks += _read_avif(content[own:])
        else:
            blocks.append(Block(kind, content))
        at = end
    return blocks


def _write_avif(blocks: list[Block]) -> bytes:
    """Containers keep the length that they had: one whose boxes have changed lies."""
    parts = []
    for block in blocks:
        length = len(block.content) + 8 if block.length is None else block.length
        parts.append(struct.pack(">I4s", length & 0xFFFFFFFF, block.kind) + block.content)
    return b"".join(parts)


LAYOUTS = {
    "jpeg": Layout(_read_jpeg, _write_jpeg),
    "png": Layout(_read_png, _write_png),
    "webp": Layout(_read_webp, _write_webp),
    "avif": Layout(_read_avif, _write_avif),
}
