"""Reduces a WebP file to the parts that its pixels need (RFC 9649, section 2).

Metadata follows the pixels, so a file that was cut there contains all pixels. Colour profile, XMP, transparency and the
later frames of an animation are removed.
"""

from __future__ import annotations

import struct
from typing import Final

from photo_classifier import problems
from photo_classifier.problems import InputProblem
from photo_classifier.reduced import Reduced

_PICTURES: Final = frozenset({b"VP8 ", b"VP8L"})
_ANIMATION: Final = 0x02
_ALPHA: Final = 0x10
_HEADER: Final = 12


def reduce(data: bytes) -> Reduced:
    """Reduce the WebP file `data` to its canvas and first frame. Raises `InputProblem`."""
    extended = animation = b""
    kept: list[tuple[bytes, bytes]] = []
    exif: bytes | None = None
    position = _HEADER
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        start, end = position + 8, position + 8 + length
        whole = end <= len(data)
        if not kept and name in _PICTURES | {b"ANMF"}:
            if not whole:
                break
            kept.append((name, data[start:end]))
        elif name == b"VP8X" and whole and not extended:
            extended = data[start:end]
        elif name == b"ANIM" and whole and not animation:
            animation = data[start:end]
        elif name == b"EXIF" and whole and exif is None:
            exif = data[start:end]
        position = end + length % 2
    if not kept:
        raise InputProblem(
            problems.TRUNCATED_IMAGE, "The WebP file is truncated or damaged: its pixels are incomplete."
        )
    if kept[0][0] == b"ANMF":
        # The canvas, which is larger than a frame may be; of the flags, those that say what is left.
        flags = bytes([extended[0] & (_ANIMATION | _ALPHA)]) if extended else b""
        kept = [(b"VP8X", flags + extended[1:]), (b"ANIM", animation), *kept]
    body = b"WEBP" + b"".join(
        struct.pack("<4sI", name, len(each)) + each + b"\0" * (len(each) % 2) for name, each in kept
    )
    return Reduced(struct.pack("<4sI", b"RIFF", len(body)) + body, exif)
