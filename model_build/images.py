"""The images that an int8 graph is calibrated on and compared on: a user's, or drawn ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageOps

from model_build import synthetic
from model_build.errors import ModelBuildError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model_build.contract import Tensor
    from model_build.manifest import Preprocessing
    from model_build.precision import ImageSet

LEAST_IMAGES: Final = 100
"""Half of them calibrate. Among 50 others, 98 % agreement allows one that differs."""

DRAWN: Final = 200

_CALIBRATING: Final = 128
"""Ranges hardly change with more images, and each costs a run of the float32 graph."""

_BATCH: Final = 16
_SUFFIXES: Final = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class Images:
    """Images in a fixed order. Every `_step`-th calibrates; agreement is measured on the others."""

    set: ImageSet
    count: int
    preprocessing: Preprocessing
    paths: tuple[Path, ...] = ()

    @property
    def _step(self) -> int:
        return max(2, -(-self.count // _CALIBRATING))

    def calibrating(self) -> Iterator[Tensor]:
        """Batches (n, 3, H, W) to take ranges from. Raises `ModelBuildError` for a file that cannot be decoded."""
        return self._batches(calibrating=True)

    def others(self) -> Iterator[Tensor]:
        """Batches (n, 3, H, W) to compare on. Raises `ModelBuildError` for a file that cannot be decoded."""
        return self._batches(calibrating=False)

    def _batches(self, *, calibrating: bool) -> Iterator[Tensor]:
        chosen = (tensor(picture, self.preprocessing) for picture in self._pictures(calibrating=calibrating))
        while batch := list(itertools.islice(chosen, _BATCH)):
            yield np.stack(batch)

    def _pictures(self, *, calibrating: bool) -> Iterator[Image.Image]:
        if self.set == "synthetic":
            drawn = synthetic.pictures(self.count)
            yield from (each for index, each in enumerate(drawn) if (index % self._step == 0) is calibrating)
            return
        for index, path in enumerate(self.paths):
            if (index % self._step == 0) is calibrating:
                yield _read(path)


def given(folder: Path, preprocessing: Preprocessing) -> Images:
    """The JPEG, PNG and WebP files in `folder` and its folders, in order of their paths. Raises `ModelBuildError`."""
    if not folder.is_dir():
        raise ModelBuildError(f"{folder} is not a folder", "name a folder of photos")
    paths = tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file()))
    if len(paths) < LEAST_IMAGES:
        raise ModelBuildError(
            f"{folder} has {len(paths)} JPEG, PNG and WebP files: too few to calibrate on some and compare on others",
            f"give at least {LEAST_IMAGES} photos of the kind that will be classified",
        )
    return Images("given", len(paths), preprocessing, paths)


def drawn(preprocessing: Preprocessing) -> Images:
    """Synthetic pictures, the same every time."""
    return Images("synthetic", DRAWN, preprocessing)


def tensor(picture: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """An RGB picture as the deployed function preprocesses it: (3, crop, crop) float32."""
    width, height = picture.size
    shorter, crop = preprocessing.resize, preprocessing.crop
    # torchvision truncates the longer side and rounds half to even for the corner.
    longer = int(shorter * max(width, height) / min(width, height))
    resized = (shorter, longer) if width <= height else (longer, shorter)
    left, top = (round((side - crop) / 2.0) for side in resized)
    cropped = picture.resize(resized, Image.Resampling.BILINEAR).crop((left, top, left + crop, top + crop))
    mean, std = (np.array(values, dtype=np.float32) for values in (preprocessing.mean, preprocessing.std))
    normalised: Tensor = (np.asarray(cropped, dtype=np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ModelBuildError(f"{path} cannot be decoded", "remove it from the folder") from error
