"""The model and the photo of a run, where none are named."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.stack import StackError

if TYPE_CHECKING:
    from pathlib import Path


def default_model(folder: Path) -> Path:
    """ResNet50 with untrained weights, which cost the same as trained ones; built once into `folder`."""
    if not (folder / "model.json").is_file():
        command = [sys.executable, "-m", "model_build", "build", "--untrained", "--seed", "0", "--out", str(folder)]
        if subprocess.run(command, check=False).returncode:
            raise StackError("the model could not be built; name one with --model-dir")
    return folder


def default_photo(folder: Path, assets: Path | None) -> Path:
    """The assets' dog photo, a JPEG of 1200x602 and 81 KB; without assets, a made one of the same size."""
    if assets is not None:
        return assets / "images" / "dog.jpeg"
    path = folder / "photo.jpeg"
    if not path.is_file():
        made_photo().save(path, "JPEG", quality=85)
    return path


def made_photo(width: int = 1200, height: int = 602) -> Image.Image:
    """A picture with a photo's mixture of large areas and detail, always the same."""
    noise = np.random.default_rng(0)
    picture = np.zeros((height, width, 3))
    for cells, weight in ((4, 110.0), (16, 70.0), (64, 30.0), (300, 26.0)):
        grid = noise.uniform(0, 255, (max(cells // 2, 2), cells, 3)).astype(np.uint8)
        picture += np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)) * (weight / 255)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))
