"""Reads only the orientation from an EXIF block (EXIF 2.32, section 4.6; TIFF 6.0, section 2)."""

from __future__ import annotations

import struct
from typing import Final

_ORIENTATION: Final = 0x0112
_SHORT: Final = 3
_ENTRY: Final = 12
_PREFIX: Final = b"Exif\0\0"
_UPRIGHT: Final = 1


def orientation(block: bytes | None) -> int:
    """The orientation, 1 to 8, of a TIFF header with or without `Exif` before it; 1 if it cannot be read."""
    if block is None:
        return _UPRIGHT
    block = block.removeprefix(_PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return _UPRIGHT
    try:
        (directory,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, directory)
        for position in range(directory + 2, directory + 2 + count * _ENTRY, _ENTRY):
            tag, kind, values, value = struct.unpack_from(f"{order}HHIH", block, position)
            if tag == _ORIENTATION:
                return value if (kind, values) == (_SHORT, 1) and 1 <= value <= 8 else _UPRIGHT
    except struct.error:
        return _UPRIGHT
    return _UPRIGHT
