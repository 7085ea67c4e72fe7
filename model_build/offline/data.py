"""CIFAR-10 as the offline model sees it: JPEG files through the product's preprocessing, reduced to 32 x 32.

The archive holds `train/<class>/<name>.jpg` and `test/<class>/<name>.jpg`. Each picture is enlarged and cropped exactly
as the deployed function does it (resize 232, crop 224), then reduced by least squares, as the exported graph does
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
SIDE = 32
"""Of the picture that the network sees."""

Pixels = npt.NDArray[np.uint8]
_CACHE_VERSION = 2


class DataError(ModelBuildError):
    """The archive cannot be used; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "give CIFAR-10 as JPEG files in a zip with --data FILE")


@dataclass(frozen=True)
class Split:
    """Reduced pictures (n, 32, 32, 3), rounded to uint8, and their class numbers (n,)."""

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
    kept = cache / f"reduced-v{_CACHE_VERSION}-{digest[:16]}.npz"
    if not kept.exists():
        report(f"preprocessing {archive.name}, once")
        classes = class_names(archive)
        arrays: dict[str, npt.NDArray[np.generic]] = {"classes": np.array(classes)}
        for split in ("train", "test"):
            arrays[f"{split}_images"], arrays[f"{split}_labels"] = _reduced(archive, split, classes)
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


def reduction() -> npt.NDArray[np.float64]:
    """The matrix A (32, 224) of the least-squares reduction `A @ crop @ A.T` of one channel.

    The enlargement of a row of 32 pixels to 232, cropped to 224, is a matrix B (224, 32): linear interpolation between
    pixel centres. A is its pseudo-inverse, so an enlarged picture is recovered, and of any other the piecewise linear
    picture nearest to it is taken. Averaging squares instead blurs an enlarged picture twice: only a quarter of its
    finest detail is left, and with it went five points of accuracy.
    """
    size = PREPROCESSING.resize
    enlarged = np.arange((size - CROP) // 2, (size + CROP) // 2)
    places = ((enlarged + 0.5) * SIDE / size - 0.5).clip(0, SIDE - 1)
    interpolation = np.maximum(0, 1 - np.abs(places[:, np.newaxis] - np.arange(SIDE)))
    inverse: npt.NDArray[np.float64] = np.linalg.pinv(interpolation)
    return inverse


def reduce_pixels(pixels: Pixels) -> Pixels:
    """Reduce (224, 224, 3) to (32, 32, 3) by least squares, rounded to the nearest level and limited to 0..255."""
    matrix = _REDUCTION
    reduced = np.tensordot(np.tensordot(matrix, pixels, axes=(1, 0)), matrix, axes=(1, 1)).transpose(0, 2, 1)
    return np.rint(reduced).clip(0, 255).astype(np.uint8)


_REDUCTION = reduction()


def _reduced(archive: Path, split: str, classes: tuple[str, ...]) -> tuple[Pixels, npt.NDArray[np.int64]]:
    images, labels = [], []
    for pixels, label in crops(archive, split, classes):
        images.append(reduce_pixels(pixels))
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
