"""Filters of Pillow's resampler that manifests can select, by name (Pillow, Resample.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Filter:
    """A symmetric filter: `weight` for distances from the centre, 0 beyond `support`; in pixels of the result."""

    pillow: Image.Resampling
    support: float
    weight: Callable[[Numbers], Numbers]


def _triangle(distance: Numbers) -> Numbers:
    """`bilinear_filter` of Resample.c; `distance` is not negative."""
    return np.where(distance < 1.0, 1.0 - distance, 0.0)


def _cubic(distance: Numbers) -> Numbers:
    """`bicubic_filter` of Resample.c: Keys' kernel with a = -0.5, with the same order of operations."""
    a = -0.5
    near = ((a + 2.0) * distance - (a + 3.0)) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * a
    return np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))


FILTERS: Final = {
    "bilinear": Filter(Image.Resampling.BILINEAR, 1.0, _triangle),
    "bicubic": Filter(Image.Resampling.BICUBIC, 2.0, _cubic),
}
