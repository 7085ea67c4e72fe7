"""Images for calibration and comparison of an int8 graph: the user's, or synthetic ones.

The deployed function decodes and preprocesses them (`python -m enclave_function inputs`).
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from model_build import function, synthetic
from model_build.errors import ModelBuildError
from model_build.manifest import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, MutableSet, Sequence

    from PIL import Image

    from model_build.general import Input
    from model_build.precision import ImageSet
    from model_build.session import Array

LEAST_IMAGES: Final = 100
"""Half of them are used for calibration. With 50 others, 98 % agreement permits one difference."""

DRAWN: Final = 200

_LEAST_LEFT: Final = 40
"""Images that must be left for calibration, and as many for comparison, without damaged ones and copies."""

_CALIBRATING: Final = 128
"""Ranges hardly change with more images, and each one costs a run of the float32 graph."""

_BATCH: Final = 16
"""Batch size for a graph without a fixed one."""

_AT_ONCE: Final = 200
"""Images in one command, whose arguments have a limited length."""

_SUFFIXES: Final = {".jpg", ".jpeg", ".png", ".webp"}


def _ignore(_line: str) -> None:
    """Show a line to no user."""


@dataclass(frozen=True)
class Images:
    """Images in a fixed order, for the model directory `model` with the input `given`.

    Every `_step`-th image is used for calibration; agreement is measured on the others. Images that cannot be decoded
    are left out, and `say` gets a line for each.
    """

    set: ImageSet
    count: int
    model: Path
    given: Input
    paths: tuple[Path, ...] = ()
    say: Callable[[str], None] = _ignore

    @property
    def _step(self) -> int:
        return max(2, -(-self.count // _CALIBRATING))

    def calibrating(self) -> Iterator[Array]:
        """Yield batches (n, ...) for calibration, without equal images. Raises `ModelBuildError` for too few."""
        return self._batches("calibrate", seen=set())

    def others(self, calibrating: Sequence[Array]) -> Iterator[Array]:
        """Yield batches (n, ...) for comparison, without images that are among the batches `calibrating`.

        Raises `ModelBuildError` for too few.
        """
        return self._batches("compare", seen={_digest(each) for batch in calibrating for each in batch})

    def _batches(self, purpose: Literal["calibrate", "compare"], seen: MutableSet[bytes]) -> Iterator[Array]:
        size = _BATCH if self.given.batch == "free" else self.given.batch
        tensors = _unseen(self._tensors(calibrating=purpose == "calibrate"), seen)
        left = 0
        while batch := list(itertools.islice(tensors, size)):
            left += len(batch)
            yield np.stack(batch)
        if self.set == "given" and left < _LEAST_LEFT:
            raise ModelBuildError(
                f"only {left} different images are left to {purpose} on, of {self.count}", _GIVE_ENOUGH
            )

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
        """Yield the tensors of `paths`, without batch axis. What cannot be decoded yields none."""
        dtype, shape = np.dtype(self.given.dtype).newbyteorder("<"), self.given.shape(1)[1:]
        for start in range(0, len(paths), _AT_ONCE):
            part = paths[start : start + _AT_ONCE]
            images = [str(path.absolute()) for path in part]
            with function.output("inputs", "--model", str(self.model), *images) as file:
                # The command ends early if it fails, and the end of the block then raises its error.
                for path, line in zip(part, iter(file.readline, b""), strict=False):
                    said = json.loads(line)
                    if said["problem"] is None:
                        yield np.frombuffer(file.read(said["bytes"]), dtype).reshape(shape)
                    else:
                        self.say(f"Left out: {path}: {said['problem']}")


def _unseen(tensors: Iterable[Array], seen: MutableSet[bytes]) -> Iterator[Array]:
    """Yield the `tensors` whose digests are not in `seen`, and add them to it."""
    for tensor in tensors:
        if (digest := _digest(tensor)) not in seen:
            seen.add(digest)
            yield tensor


def _digest(tensor: Array) -> bytes:
    """SHA-256 of what the model gets. Two files of one picture can differ in format and metadata."""
    return hashlib.sha256(np.ascontiguousarray(tensor).data).digest()


@functools.lru_cache(maxsize=1)
def _pictures(count: int) -> tuple[Image.Image, ...]:
    """Synthetic pictures, kept because the next ones depend on them: 40 MB for 200."""
    return tuple(synthetic.pictures(count))


_GIVE_ENOUGH: Final = f"give at least {LEAST_IMAGES} photos of the kind that will be classified"


def given(folder: Path, model: Path, taken: Input, say: Callable[[str], None] = _ignore) -> Images:
    """The JPEG, PNG and WebP files below `folder`, sorted by path; of files with equal bytes the first.

    `say`: see `Images`. Raises `ModelBuildError` for fewer than 100.
    """
    if not folder.is_dir():
        raise ModelBuildError(f"{folder} is not a folder", "name a folder of photos")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    # Of two copies one could be used for calibration and the other for the comparison with float32.
    first: dict[str, Path] = {}
    for path in found:
        first.setdefault(file_sha256(path), path)
    if len(first) < len(found):
        say(f"Left out: {len(found) - len(first)} files that are copies of others")
    if len(first) < LEAST_IMAGES:
        raise ModelBuildError(
            f"{folder} has {len(first)} different JPEG, PNG and WebP files: too few to calibrate on some and compare on"
            " others",
            _GIVE_ENOUGH,
        )
    return Images("given", len(first), model, taken, tuple(first.values()), say)


def drawn(model: Path, taken: Input) -> Images:
    """Synthetic images; always the same."""
    return Images("synthetic", DRAWN, model, taken)
