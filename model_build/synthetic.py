"""Synthetic pictures for calibration without photos: the dead leaves model.

Opaque shapes of many sizes cover each other. This gives the properties that determine the ranges in a network: edges at
all scales and smooth surfaces, with the size distribution of natural scenes (Lee, Mumford and Huang, "Occlusion models
for natural images", 2001). The pictures show no objects, so agreement on them says little about photos.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    from numpy.random import Generator

    _Pixels = npt.NDArray[np.float32]

SIDE: Final = 256
_SHAPES: Final = 250
_SMALLEST, _LARGEST = 8.0, 160.0
"""Radii in pixels, distributed as 1 / r³: the exponent that is the same at all scales."""

_TEXTURE: Final = 24.0
"""Largest standard deviation of a shape's noise, in grey levels."""

_SHADE: Final = 0.5
"""Steepest shading, in grey levels per pixel."""


def pictures(count: int, *, seed: int = 0) -> Iterator[Image.Image]:
    """Yield `count` RGB pictures of 256 x 256 pixels; always the same for one `seed`."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        # A scene has its own light: colours are drawn around it.
        light, spread = generator.uniform(60, 195, 3), generator.uniform(15, 70)
        pixels = np.full((SIDE, SIDE, 3), light + spread * generator.standard_normal(3), dtype=np.float32)
        radii = _SMALLEST / np.sqrt(1 - generator.uniform(0, 1, _SHAPES) * (1 - (_SMALLEST / _LARGEST) ** 2))
        for radius in radii:
            _shape(pixels, radius, light + spread * generator.standard_normal(3), generator)
        yield Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _shape(pixels: _Pixels, radius: float, colour: npt.NDArray[np.float64], generator: Generator) -> None:
    """Draw an ellipse or rectangle of `radius` pixels, shaded and textured, over `pixels` (SIDE, SIDE, 3)."""
    y, x = generator.uniform(0, SIDE, 2)
    angle, flatness = generator.uniform(0, np.pi), generator.uniform(0.3, 1)
    reach = radius * np.sqrt(2)
    top, left = int(max(0, y - reach)), int(max(0, x - reach))
    window = pixels[top : int(y + reach) + 1, left : int(x + reach) + 1]
    down = np.arange(top, top + window.shape[0], dtype=np.float32)[:, None] - y
    right = np.arange(left, left + window.shape[1], dtype=np.float32) - x
    along = right * np.cos(angle) + down * np.sin(angle)
    across = (down * np.cos(angle) - right * np.sin(angle)) / flatness
    ellipse = generator.uniform() < 0.5
    distance = np.hypot(along, across) if ellipse else np.maximum(np.abs(along), np.abs(across))
    inside = distance < radius
    shade = generator.uniform(-_SHADE, _SHADE) * along[inside]
    texture = generator.normal(0, generator.uniform(0, _TEXTURE), int(inside.sum()))
    window[inside] = colour + (shade + texture)[:, None]
