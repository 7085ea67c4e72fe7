"""Default model and photos of a run."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.processes import ROOT, StackError

if TYPE_CHECKING:
    from pathlib import Path

SIZES = (
    ("small", 640, 480, 88),
    ("web", 1200, 602, 85),
    ("large", 2048, 1536, 88),
    ("8 megapixels", 3264, 2448, 88),
    ("12 megapixels", 4032, 3024, 90),
)
"""Name, width and height in pixels, JPEG quality: from about 50 KB to the photo of a telephone."""

_FINE_FROM = 1500


def default_model(folder: Path) -> Path:
    """ResNet50 with untrained weights, whose cost equals that of trained ones; built once into `folder`.

    Raises `StackError`.
    """
    if not (folder / "model.json").is_file():
        command = [sys.executable, "-m", "model_build", "build", "--untrained", "--seed", "0", "--out", str(folder)]
        if subprocess.run(command, check=False, cwd=ROOT).returncode:
            raise StackError("the model could not be built; name one with --model float=DIR")
    return folder


def default_photo(folder: Path, assets: Path | None) -> Path:
    """dog.jpeg of the assets, 1200x602 pixels and 81 KB; without assets, a synthetic photo of the same size."""
    if assets is not None:
        return assets / "images" / "dog.jpeg"
    return photo(folder, *SIZES[1][1:])


def photo(folder: Path, width: int, height: int, quality: int) -> Path:
    """Write a synthetic JPEG to `folder`; the bytes depend only on the arguments and the encoder's version."""
    path = folder / f"photo-{width}x{height}.jpeg"
    made_photo(width, height).save(path, "JPEG", quality=quality)
    return path


def made_photo(width: int = 1200, height: int = 602) -> Image.Image:
    """A synthetic RGB picture with large areas and fine detail, like a photo; always the same."""
    noise = np.random.default_rng(0)
    picture = np.zeros((height, width, 3), dtype=np.float32)
    layers = [(4, 110.0), (16, 70.0), (64, 30.0), (300, 26.0)]
    if width > _FINE_FROM:  # A camera's, which was not reduced, has detail down to its pixels.
        layers.append((width // 2, 26.0))
    for cells, weight in layers:
        grid = noise.uniform(0, 255, (max(cells // 2, 2), cells, 3)).astype(np.uint8)
        picture += np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)) * np.float32(
            weight / 255
        )
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def made_bytes(folder: Path, size: int) -> Path:
    """Write `size` pseudo-random bytes, always the same, for the function that does not decode its input."""
    path = folder / f"bytes-{size}"
    path.write_bytes(np.random.default_rng(0).bytes(size))
    return path
