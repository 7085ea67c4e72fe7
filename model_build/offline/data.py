"""CIFAR-10 as the offline model sees it: JPEG files through the product's preprocessing, pooled to 32 x 32.

The archive holds `train/<class>/<name>.jpg` and `test/<class>/<name>.jpg`. Each picture is enlarged and cropped exactly
as the deployed function does it (resize 232, crop 224), then averaged over 7 x 7 squares, as the exported graph does
first. That is done once for each archive and kept in the work folder.
"""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_build.errors import ModelBuildError
from model_build.manifest import Preprocessing, file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PREPROCESSING = Preprocessing()
"""The product's transform, as the manifest says it."""

CROP = PREPROCESSING.crop
POOL = 7
"""Side, in pixels of the crop, of the square that becomes one pixel for the network."""
SIDE = CROP // POOL

Pixels = npt.NDArray[np.uint8]
_CACHE_VERSION = 1


class DataError(ModelBuildError):
    """The archive cannot be used; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "give CIFAR-10 as JPEG files in a zip with --data FILE")


@dataclass(frozen=True)
class Split:
    """Pooled pictures (n, 32, 32, 3), rounded to uint8, and their class numbers (n,)."""

    images: Pixels
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """Both splits, the class names in class order (sorted), and the archive's SHA-256 in hexadecimal."""

    classes: tuple[str, ...]
    train: Split
    test: Split
    sha256: str


def load(archive: Path, cache: Path, report: Callable[[str], None]) -> Dataset:
    """Read `archive`, or what an earlier call kept of it in the folder `cache`. Raises `DataError`."""
    try:
        digest = file_sha256(archive)
    except OSError as error:
        raise DataError(f"{archive} cannot be read: {error.strerror}") from error
    kept = cache / f"pooled-v{_CACHE_VERSION}-{digest[:16]}.npz"
    if not kept.exists():
        report(f"preprocessing {archive.name}, once")
        classes = class_names(archive)
        arrays: dict[str, npt.NDArray[np.generic]] = {"classes": np.array(classes)}
        for split in ("train", "test"):
            arrays[f"{split}_images"], arrays[f"{split}_labels"] = _pooled(archive, split, classes)
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_name("unfinished.npz")
        np.savez(unfinished, allow_pickle=False, **arrays)
        unfinished.replace(kept)
    with np.load(kept, allow_pickle=False) as stored:
        return Dataset(
            classes=tuple(str(name) for name in stored["classes"]),
            train=Split(stored["train_images"], stored["train_labels"]),
            test=Split(stored["test_images"], stored["test_labels"]),
            sha256=digest,
        )


def class_names(archive: Path) -> tuple[str, ...]:
    """The archive's classes, sorted. Raises `DataError` unless both splits have the same two classes or more."""
    found = {split: sorted({name for name, _ in _members(archive, split)}) for split in ("train", "test")}
    if len(found["train"]) < 2 or found["train"] != found["test"]:
        raise DataError(
            f"{archive} is not a CIFAR-10 archive of train/<class>/*.jpg and test/<class>/*.jpg: "
            f"it has {len(found['train'])} training and {len(found['test'])} test classes"
        )
    return tuple(found["train"])


def crops(archive: Path, split: str, classes: tuple[str, ...], every: int = 1) -> Iterator[tuple[Pixels, int]]:
    """The pictures of a split as the product crops them, (224, 224, 3), with class numbers, in order of names.

    Only each `every`-th is taken. Raises `DataError`.
    """
    members = _members(archive, split)[::every]
    # Pillow's decoder and resampler release the interpreter's lock, so threads use every core.
    with zipfile.ZipFile(archive) as opened, ThreadPoolExecutor() as pool:
        for start in range(0, len(members), 512):
            block = members[start : start + 512]
            try:
                files = [opened.read(name) for _, name in block]
            except zipfile.BadZipFile as error:
                raise DataError(f"{archive} is damaged: {error}") from error
            for (label, name), pixels in zip(block, pool.map(_crop_or_none, files), strict=True):
                if pixels is None:
                    raise DataError(f"{archive}: {name} is not a readable picture")
                yield pixels, classes.index(label)


def crop_pixels(image: Image.Image) -> Pixels:
    """The product's geometry for an RGB picture: shorter side to 232 (bilinear), centre crop to (224, 224, 3)."""
    width, height = image.size
    side = PREPROCESSING.resize
    longer = int(side * max(width, height) / min(width, height))
    resized = (side, longer) if width <= height else (longer, side)
    left = round((resized[0] - CROP) / 2.0)
    top = round((resized[1] - CROP) / 2.0)
    image = image.resize(resized, Image.Resampling.BILINEAR)
    return np.asarray(image.crop((left, top, left + CROP, top + CROP)))


def pool_pixels(pixels: Pixels) -> Pixels:
    """Average (224, 224, 3) over squares of 7 x 7 to (32, 32, 3), rounded to the nearest level."""
    sums = pixels.reshape(SIDE, POOL, SIDE, POOL, 3).sum(axis=(1, 3), dtype=np.uint32)
    means: Pixels = ((2 * sums + POOL * POOL) // (2 * POOL * POOL)).astype(np.uint8)
    return means


def _pooled(archive: Path, split: str, classes: tuple[str, ...]) -> tuple[Pixels, npt.NDArray[np.int64]]:
    images, labels = [], []
    for pixels, label in crops(archive, split, classes):
        images.append(pool_pixels(pixels))
        labels.append(label)
    return np.stack(images), np.array(labels, dtype=np.int64)


def _members(archive: Path, split: str) -> list[tuple[str, str]]:
    """(class, member name) of every picture of a split, sorted."""
    try:
        with zipfile.ZipFile(archive) as opened:
            parts = [name.split("/") for name in opened.namelist() if name.lower().endswith((".jpg", ".jpeg"))]
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive} is not a zip archive") from error
    except OSError as error:
        raise DataError(f"{archive} cannot be read: {error.strerror}") from error
    return sorted((part[1], "/".join(part)) for part in parts if len(part) == 3 and part[0] == split)


def _crop_or_none(file: bytes) -> Pixels | None:
    try:
        with Image.open(io.BytesIO(file)) as image:
            return crop_pixels(image.convert("RGB"))
    except OSError:  # Pillow's errors for what it cannot identify or decode are of this kind.
        return None
