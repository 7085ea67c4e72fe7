"""Files taken apart and put together by hand: PNG chunks, JPEG segments, RIFF chunks, ISO media boxes."""

from __future__ import annotations

import struct
import zlib

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_chunk(name: bytes, body: bytes, *, crc: int | None = None) -> bytes:
    """One PNG chunk, with its own checksum unless another is given (PNG, 5.3)."""
    return (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) if crc is None else crc)
    )


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Names and bodies of a PNG's chunks."""
    found, position = [], len(PNG_SIGNATURE)
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        found.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += length + 12
    return found


def with_png_chunk(data: bytes, chunk: bytes, *, before: bytes = b"IDAT") -> bytes:
    """A PNG with `chunk` in front of its first chunk called `before`."""
    position = data.index(before) - 4
    return data[:position] + chunk + data[position:]


def with_jpeg_segment(data: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG with one more segment behind its start marker (ITU-T T.81, B.1.1.4)."""
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + data[2:]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP file of these chunks."""
    body = b"".join(name + struct.pack("<I", len(each)) + each + b"\0" * (len(each) % 2) for name, each in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def riff_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Names and bodies of a WebP file's chunks."""
    found, position = [], 12
    while position < len(data):
        (length,) = struct.unpack_from("<I", data, position + 4)
        found.append((data[position : position + 4], data[position + 8 : position + 8 + length]))
        position += 8 + length + length % 2
    return found


def isobmff(major: bytes, *compatible: bytes, version: int = 0) -> bytes:
    """The first boxes of an ISO media file of these brands (ISO/IEC 14496-12, 4.3), and no picture."""
    brands = major + struct.pack(">I", version) + b"".join(compatible)
    return struct.pack(">I", len(brands) + 8) + b"ftyp" + brands + struct.pack(">I", 16) + b"meta" + bytes(8)
