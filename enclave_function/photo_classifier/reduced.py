"""What is left of an image file once all that its pixels do not need is dropped."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reduced:
    """`data`: a file of the same format, of one picture. `exif`: the block of that name, as it was found."""

    data: bytes
    exif: bytes | None
