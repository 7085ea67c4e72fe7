"""An image file without the parts that its pixels do not need."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reduced:
    """`data`: a file of the same format with one image. `exif`: the EXIF block, unchanged; None if there was none."""

    data: bytes
    exif: bytes | None
