"""Images for calibration and comparison of an int8 graph: the user's, or synthetic ones.

The deployed function decodes and preprocesses them (`python -m enclave_function inputs`).
"""

from __future__ import annotations

import functools
import itertools
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from model_build import function, synthetic
from model_build.errors import ModelBuildError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

    from model_build.general import Input
    from model_build.precision import ImageSet
    from model_build.session import Array

LEAST_IMAGES: Final = 100
"""Half of them are used for calibration. With 50 others, 98 % agreement permits one difference."""

DRAWN: Final = 200

_CALIBRATING: Final = 128
"""Ranges hardly change with more images, and each one costs a run of the float32 graph."""

_BATCH: Final = 16
"""Batch size for a graph without a fixed one."""

_AT_ONCE: Final = 200
"""Images in one command, whose arguments have a limited length."""

_SUFFIXES: Final = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class Images:
    """Images in a fixed order, for the model directory `model` with the input `given`.

    Every `_step`-th image is used for calibration; agreement is measured on the others.
    """

    set: ImageSet
    count: int
    model: Path
    given: Input
    paths: tuple[Path, ...] = ()

    @property
    def _step(self) -> int:
        return max(2, -(-self.count // _CALIBRATING))

    def calibrating(self) -> Iterator[Array]:
        """Yield batches (n, ...) for calibration. Raises `ModelBuildError` for a file that cannot be decoded."""
        return self._batches(calibrating=True)

    def others(self) -> Iterator[Array]:
        """Yield batches (n, ...) for comparison. Raises `ModelBuildError` for a file that cannot be decoded."""
        return self._batches(calibrating=False)

    def _batches(self, *, calibrating: bool) -> Iterator[Array]:
        size = _BATCH if self.given.batch == "free" else self.given.batch
        tensors = self._tensors(calibrating=calibrating)
        while batch := list(itertools.islice(tensors, size)):
            yield np.stack(batch)

    def _tensors(self, *, calibrating: bool) -> Iterator[Array]:
        chosen = [index for index in range(self.count) if (index % self._step == 0) is calibrating]
        if self.set == "given":
            yield from self._preprocessed([self.paths[index] for index in chosen])
            return
        with tempfile.TemporaryDirectory() as name:
            paths = [Path(name) / f"{index}.png" for index in chosen]
            pictures = _pictures(self.count)
            for path, index in zip(paths, chosen, strict=True):
                pictures[index].save(path, compress_level=1)
            yield from self._preprocessed(paths)

    def _preprocessed(self, paths: Sequence[Path]) -> Iterator[Array]:
        """Yield the tensors of `paths`, without batch axis."""
        dtype, shape = np.dtype(self.given.dtype).newbyteorder("<"), self.given.shape(1)[1:]
        length = math.prod(shape) * dtype.itemsize
        for start in range(0, len(paths), _AT_ONCE):
            part = [str(path.absolute()) for path in paths[start : start + _AT_ONCE]]
            with function.output("inputs", "--model", str(self.model), *part) as file:
                while len(data := file.read(length)) == length:
                    yield np.frombuffer(data, dtype).reshape(shape)


@functools.lru_cache(maxsize=1)
def _pictures(count: int) -> tuple[Image.Image, ...]:
    """Synthetic pictures, kept because the next ones depend on them: 40 MB for 200."""
    return tuple(synthetic.pictures(count))


def given(folder: Path, model: Path, taken: Input) -> Images:
    """The JPEG, PNG and WebP files below `folder`, sorted by path. Raises `ModelBuildError` for fewer than 100."""
    if not folder.is_dir():
        raise ModelBuildError(f"{folder} is not a folder", "name a folder of photos")
    paths = tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file()))
    if len(paths) < LEAST_IMAGES:
        raise ModelBuildError(
            f"{folder} has {len(paths)} JPEG, PNG and WebP files: too few to calibrate on some and compare on others",
            f"give at least {LEAST_IMAGES} photos of the kind that will be classified",
        )
    return Images("given", len(paths), model, taken, paths)


def drawn(model: Path, taken: Input) -> Images:
    """Synthetic images; always the same."""
    return Images("synthetic", DRAWN, model, taken)
