"""The preprocessing of torchvision's image classifiers without torch; by default of `ResNet50_Weights.DEFAULT`.

Resize (bilinear or bicubic, antialiased), crop the centre, scale, normalise. For PIL images the pixels are identical to
torchvision's, because both use Pillow's resampler. For extreme aspect ratios Pillow would create an image of gigabytes
to crop 224 rows from. There, `_resample_window` applies the resampler's fixed-point arithmetic to the required rows and
columns only.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from photo_classifier.filters import FILTERS, Filter

if TYPE_CHECKING:
    from photo_classifier.turn import Box

Pixels = npt.NDArray[np.uint8]
Tensor = npt.NDArray[np.float32]

_LARGEST_RESIZED = 4_000_000
"""Pixels of the resized image above which only the cropped window is computed."""

_ROWS_FOR_TWO = 256
"""Number of rows below which a second thread costs more time than it saves."""

_SECOND = ThreadPoolExecutor(1, thread_name_prefix="resize")

_PRECISION_BITS = 32 - 8 - 2
"""Fixed-point fraction bits of Pillow's 8-bit resampler (`PRECISION_BITS` in its Resample.c)."""


Size = tuple[int, int]
"""Height and width, in pixels."""

Extent = tuple[int, int]
"""Width and height in pixels, in Pillow's order."""

OF_255: Final = 1 / 255
"""The factor from grey levels to 0..1."""


@dataclass(frozen=True)
class Preprocessing:
    """The `preprocessing` object of a manifest. Sizes in pixels; `mean` and `std` for `level * scale`.

    `resize`: the length of the shorter side, or height and width without keeping the aspect ratio. `crop`: height and
    width, or the side of a square. `channels`: the model's order of channels, `RGB` or `BGR`, which is also that of
    `mean` and `std`.
    """

    resize: int | Size = 232
    crop: int | Size = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
    scale: float = OF_255
    channels: str = "RGB"

    def tensor(
        self, image: Image.Image, *, size: Extent | None = None, box: Box | None = None, threads: int = 1
    ) -> Tensor:
        """Preprocess an RGB `image` to a float32 tensor (1, 3, H, W). `size`, `box`, `threads`: see `crop_pixels`."""
        return normalise(self.pixels(image, size=size, box=box, threads=threads), self.mean, self.std, self.scale)

    def pixels(
        self, image: Image.Image, *, size: Extent | None = None, box: Box | None = None, threads: int = 1
    ) -> Pixels:
        """Resize and crop an RGB `image` to uint8 pixels (H, W, 3), in the order of `channels`."""
        pixels = crop_pixels(image, self.resize, self.crop, self.interpolation, size=size, box=box, threads=threads)
        return pixels if self.channels == "RGB" else pixels[:, :, ::-1]


def crop_pixels(
    image: Image.Image,
    resize: int | Size,
    crop: int | Size,
    interpolation: str = "bilinear",
    *,
    size: Extent | None = None,
    box: Box | None = None,
    threads: int = 1,
) -> Pixels:
    """Resize and centre-crop an RGB `image` to uint8 pixels (H, W, 3), on at most two `threads`.

    Sizes: see `Preprocessing`. `size`: width and height of the full image, if `image` is a smaller form of it. `box`:
    the part of `image` that shows the full image, by default all of it. Source: torchvision's `resize` and
    `center_crop`.
    """
    kernel = FILTERS[interpolation]
    height, width = (crop, crop) if isinstance(crop, int) else crop
    resized = _resized(size or image.size, resize)
    # torchvision's `center_crop` rounds half to even.
    left = round((resized[0] - width) / 2.0)
    top = round((resized[1] - height) / 2.0)
    whole = (0, 0, *image.size)
    box = box or whole
    if resized[0] * resized[1] > _LARGEST_RESIZED:
        return _resample_window(image, _axes(image, box, resized), (left, top), (width, height), kernel)
    if resized != image.size or box != whole:
        if not isinstance(resize, int) or image.width == resized[0] or image.height > 2 * image.width:
            # Pillow has one pass, or may begin with the vertical one.
            image = image.resize(resized, kernel.pillow, box)
        else:
            axes = _axes(image, box, resized)
            return _resample_crop(image, axes, (left, top), (width, height), kernel, threads=threads)
    return np.asarray(image.crop((left, top, left + width, top + height)))


def _resized(size: Extent, resize: int | Size) -> tuple[int, int]:
    """Width and height after the resize of an image whose width and height are `size`."""
    if not isinstance(resize, int):
        return resize[1], resize[0]
    width, height = size
    # torchvision truncates the longer side (`_compute_resized_image_output_size`).
    return (resize, int(resize * height / width)) if width <= height else (int(resize * width / height), resize)


def normalise(pixels: Pixels, mean: tuple[float, ...], std: tuple[float, ...], scale: float = OF_255) -> Tensor:
    """Convert uint8 pixels (H, W, 3) to a float32 tensor (1, 3, H, W): `(pixel * scale - mean) / std`.

    Each channel has only 256 values, so they are computed once and looked up. For a scale of 1 / 255, levels are
    divided by 255 as in torchvision, because a product may differ in the last bit.
    """
    levels = np.arange(256, dtype=np.float32)
    levels = levels / np.float32(255) if scale == OF_255 else levels * np.float32(scale)
    tensor = np.empty((1, 3, *pixels.shape[:2]), dtype=np.float32)
    for channel in range(3):
        table = (levels - np.float32(mean[channel])) / np.float32(std[channel])
        np.take(table, pixels[:, :, channel], out=tensor[0, channel])
    return tensor


@dataclass(frozen=True)
class _Axis:
    """One axis of a resize: of `size` positions, those from `start` to `end` become `resized` positions."""

    size: int
    start: float
    end: float
    resized: int

    @property
    def scale(self) -> float:
        return (self.end - self.start) / self.resized

    @property
    def changes(self) -> bool:
        return (self.start, self.end, self.resized) != (0, self.size, self.size)


def _axes(image: Image.Image, box: Box, resized: Extent) -> tuple[_Axis, _Axis]:
    """The horizontal and the vertical axis of the resize of the `box` of `image` to `resized`."""
    return _Axis(image.width, box[0], box[2], resized[0]), _Axis(image.height, box[1], box[3], resized[1])


def _resample_crop(
    image: Image.Image,
    axes: tuple[_Axis, _Axis],
    corner: tuple[int, int],
    window: Extent,
    kernel: Filter,
    *,
    threads: int,
) -> Pixels:
    """The `window` at `corner` (left, top) of `image` resized by Pillow, in its two passes.

    The horizontal pass processes the rows that the window depends on, the vertical pass the window's columns. Pillow
    releases the interpreter lock meanwhile.
    """
    (across, down), (left, top), (width, height) = axes, corner, window
    first, last = _span(down, top, height, kernel)
    if threads > 1 and last - first >= _ROWS_FOR_TWO:
        half = (first + last) // 2
    else:
        if 10 * (last - first) >= 9 * image.height:  # A copy of the rows would cost what the others do.
            first, last = 0, image.height
        half = last
    narrow = Image.new("RGB", (width, image.height))

    def horizontally(start: int, end: int) -> None:
        strip = image if end - start == image.height else image.crop((0, start, image.width, end))
        part = (across.start, 0, across.end, strip.height)
        strip = strip.resize((across.resized, strip.height), kernel.pillow, part)
        narrow.paste(strip.crop((left, 0, left + width, strip.height)), (0, start))

    beside = _SECOND.submit(horizontally, half, last) if half < last else None
    horizontally(first, half)
    if beside is not None:
        beside.result()
    upright = narrow.resize((width, down.resized), kernel.pillow, (0, down.start, width, down.end))
    return np.asarray(upright.crop((0, top, width, top + height)))


def _span(axis: _Axis, first: int, count: int, kernel: Filter) -> tuple[int, int]:
    """The range of source positions, or a few more, on which resized positions `first`..`first + count` depend."""
    reach = kernel.support * max(axis.scale, 1.0) + 1
    start, end = (axis.start + each * axis.scale for each in (first, first + count))
    return max(int(start - reach), 0), min(int(end + reach) + 1, axis.size)


def _resample_window(
    image: Image.Image, axes: tuple[_Axis, _Axis], corner: tuple[int, int], crop: Extent, kernel: Filter
) -> Pixels:
    """The window of size `crop` at `corner` of the resized `image`, with Pillow's rounding.

    All pairs are horizontal, vertical; in pixels.
    """
    (across, down), (left, top) = axes, corner
    columns, column_weights = _taps(across, left, crop[0], kernel)
    rows, row_weights = _taps(down, top, crop[1], kernel)
    # Only the source rectangle that the window depends on is ever converted to an array.
    x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    source = np.asarray(image.crop((int(x0), int(y0), int(x1), int(y1))))
    steps = [
        (1, columns - x0, column_weights, range(left - x0, left - x0 + crop[0]), across.changes),
        (0, rows - y0, row_weights, range(top - y0, top - y0 + crop[1]), down.changes),
    ]
    # Pillow rounds to 8 bits between its two passes, so their order shows: a tall picture that shrinks goes vertically
    # first.
    if image.height > 2 * image.width and down.resized < image.height:
        steps.reverse()
    for axis, positions, weights, kept, changes in steps:
        source = _weigh(source, positions, weights, axis=axis) if changes else source.take(kept, axis=axis)
    return source


def _taps(axis: _Axis, first: int, count: int, kernel: Filter) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Source positions and fixed-point weights, each (count, taps), of resized positions `first`..`first + count`.

    As Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` (Resample.c). Unused taps have the weight 0.
    """
    filter_scale = max(axis.scale, 1.0)
    support = kernel.support * filter_scale
    width = int(np.ceil(support)) * 2 + 1
    centres = axis.start + (np.arange(first, first + count) + 0.5) * axis.scale
    starts = np.maximum((centres - support + 0.5).astype(np.int64), 0)
    ends = np.minimum((centres + support + 0.5).astype(np.int64), axis.size)
    positions = starts[:, None] + np.arange(width)
    distances = np.abs((positions - centres[:, None] + 0.5) * (1.0 / filter_scale))
    weights = np.where(positions < ends[:, None], kernel.weight(distances), 0.0)
    totals = np.zeros(count)
    for tap in range(width):  # Summed in Pillow's order: the last bit of the total decides a rounding.
        totals += weights[:, tap]
    weights /= totals[:, None]
    fixed = np.copysign(0.5, weights) + weights * (1 << _PRECISION_BITS)
    return np.minimum(positions, axis.size - 1), fixed.astype(np.int64)


def _weigh(source: Pixels, positions: npt.NDArray[np.int64], weights: npt.NDArray[np.int64], *, axis: int) -> Pixels:
    shape = [1, 1, 1]
    shape[axis] = len(positions)
    total: npt.NDArray[np.int64] = np.full((), 1 << (_PRECISION_BITS - 1), dtype=np.int64)
    for tap in range(positions.shape[1]):
        picked = np.take(source, np.minimum(positions[:, tap], source.shape[axis] - 1), axis=axis)
        total = total + picked * weights[:, tap].reshape(shape)
    return (total >> _PRECISION_BITS).clip(0, 255).astype(np.uint8)
