"""The preprocessing of `ResNet50_Weights.DEFAULT.transforms()`, without torch.

Resize the shorter side to `resize` (bilinear, antialiased), crop the centre to `crop` x `crop`, scale to 0..1,
normalise. The pixels equal torchvision's for PIL images exactly, to the last grey level: both run Pillow's resampler,
and for extreme aspect ratios, where Pillow would first build a picture of gigabytes to crop 224 rows from,
`_resample_window` repeats that resampler's fixed-point arithmetic for the wanted rows and columns alone.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Tensor = npt.NDArray[np.float32]

_LARGEST_RESIZED = 4_000_000
"""Pixels of the resized picture above which only the cropped window is computed."""

_ROWS_FOR_TWO = 256
"""Rows below which a second thread costs more than it saves."""

_SECOND = ThreadPoolExecutor(1, thread_name_prefix="resize")

_PRECISION_BITS = 32 - 8 - 2
"""Fixed-point fraction bits of Pillow's 8-bit resampler (`PRECISION_BITS` in its Resample.c)."""


@dataclass(frozen=True)
class Preprocessing:
    """The `preprocessing` object of a model manifest. Sizes in pixels; `mean` and `std` per RGB channel, of 0..1."""

    resize: int = 232
    crop: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def tensor(self, image: Image.Image, *, size: tuple[int, int] | None = None, threads: int = 1) -> Tensor:
        """Preprocess an RGB `image` to a float32 tensor (1, 3, crop, crop). `size`, `threads`: as `crop_pixels`."""
        pixels = crop_pixels(image, self.resize, self.crop, size=size, threads=threads)
        return normalise(pixels, self.mean, self.std)


def crop_pixels(
    image: Image.Image, resize: int, crop: int, *, size: tuple[int, int] | None = None, threads: int = 1
) -> Pixels:
    """Resize and centre-crop an RGB `image` to uint8 pixels (crop, crop, 3), on at most two `threads`.

    `size`: width and height of the picture that `image` is a smaller decoding of (default: its own).
    """
    width, height = size or image.size
    # torchvision truncates the longer side (`_compute_resized_image_output_size`) and rounds half to even for the
    # crop's corner (`center_crop`).
    resized = (resize, int(resize * height / width)) if width <= height else (int(resize * width / height), resize)
    left = round((resized[0] - crop) / 2.0)
    top = round((resized[1] - crop) / 2.0)
    if resized[0] * resized[1] > _LARGEST_RESIZED:
        return _resample_window(image, resized, left, top, crop)
    if resized != image.size:
        if image.width == resized[0] or image.height > 2 * image.width:
            # Pillow has one pass, or begins with the vertical one.
            image = image.resize(resized, Image.Resampling.BILINEAR)
        else:
            return _resample_crop(image, resized, left, top, crop, threads)
    return np.asarray(image.crop((left, top, left + crop, top + crop)))


def normalise(pixels: Pixels, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Turn uint8 pixels (H, W, 3) into the float32 tensor (1, 3, H, W): `(pixel / 255 - mean) / std`.

    There are only 256 values a channel, so each is computed once and looked up.
    """
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    tensor = np.empty((1, 3, *pixels.shape[:2]), dtype=np.float32)
    for channel in range(3):
        table = (levels - np.float32(mean[channel])) / np.float32(std[channel])
        np.take(table, pixels[:, :, channel], out=tensor[0, channel])
    return tensor


def _resample_crop(
    image: Image.Image, resized: tuple[int, int], left: int, top: int, crop: int, threads: int
) -> Pixels:
    """The `crop` x `crop` window at (`left`, `top`) of `image` resized to `resized` by Pillow, in its two passes.

    The horizontal one for the rows that the window depends on, the vertical one for the window's columns: the rest
    would be thrown away. Pillow lets other threads run meanwhile.
    """
    first, last = _span(image.height, resized[1], top, crop)
    if threads > 1 and last - first >= _ROWS_FOR_TWO:
        half = (first + last) // 2
    else:
        half = last
        if 10 * (last - first) >= 9 * image.height:  # A copy of the rows would cost what the others do.
            first, half, last = 0, image.height, image.height
    narrow = Image.new("RGB", (crop, image.height))

    def horizontally(start: int, end: int) -> None:
        strip = image if end - start == image.height else image.crop((0, start, image.width, end))
        strip = strip.resize((resized[0], strip.height), Image.Resampling.BILINEAR)
        narrow.paste(strip.crop((left, 0, left + crop, strip.height)), (0, start))

    beside = _SECOND.submit(horizontally, half, last) if half < last else None
    horizontally(first, half)
    if beside is not None:
        beside.result()
    upright = narrow.resize((crop, resized[1]), Image.Resampling.BILINEAR) if image.height != resized[1] else narrow
    return np.asarray(upright.crop((0, top, crop, top + crop)))


def _span(size: int, resized: int, first: int, count: int) -> tuple[int, int]:
    """From which to before which source position resized positions `first`..`first + count` depend on, or a few more."""
    scale = size / resized
    reach = max(scale, 1.0) + 1
    return max(int(first * scale - reach), 0), min(int((first + count) * scale + reach) + 1, size)


def _resample_window(image: Image.Image, resized: tuple[int, int], left: int, top: int, crop: int) -> Pixels:
    """The `crop` x `crop` window at (`left`, `top`) of `image` resized to `resized`, with Pillow's rounding."""
    columns, column_weights = _taps(image.width, resized[0], left, crop)
    rows, row_weights = _taps(image.height, resized[1], top, crop)
    # Only the source rectangle that the window depends on is ever converted to an array.
    x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    source = np.asarray(image.crop((int(x0), int(y0), int(x1), int(y1))))
    steps = [
        (1, columns - x0, column_weights, left - x0, resized[0] != image.width),
        (0, rows - y0, row_weights, top - y0, resized[1] != image.height),
    ]
    # Pillow rounds to 8 bits between its two passes, so their order shows: a tall picture that shrinks goes vertically
    # first.
    if image.height > 2 * image.width and resized[1] < image.height:
        steps.reverse()
    for axis, positions, weights, start, changes in steps:
        if changes:
            source = _weigh(source, positions, weights, axis=axis)
        else:
            source = source.take(range(start, start + crop), axis=axis)
    return source


def _taps(size: int, resized: int, first: int, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Source positions and fixed-point weights, each (count, taps), of resized positions `first`..`first + count`.

    Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` for the bilinear (triangle) filter. Unused taps weigh 0.
    """
    scale = size / resized
    filter_scale = max(scale, 1.0)
    width = int(np.ceil(filter_scale)) * 2 + 1
    centres = (np.arange(first, first + count) + 0.5) * scale
    starts = np.maximum((centres - filter_scale + 0.5).astype(np.int64), 0)
    ends = np.minimum((centres + filter_scale + 0.5).astype(np.int64), size)
    positions = starts[:, None] + np.arange(width)
    distances = np.abs((positions - centres[:, None] + 0.5) * (1.0 / filter_scale))
    weights = np.where((positions < ends[:, None]) & (distances < 1.0), 1.0 - distances, 0.0)
    totals = np.zeros(count)
    for tap in range(width):  # Summed in Pillow's order: the last bit of the total decides a rounding.
        totals += weights[:, tap]
    weights /= totals[:, None]
    return np.minimum(positions, size - 1), (0.5 + weights * (1 << _PRECISION_BITS)).astype(np.int64)


def _weigh(source: Pixels, positions: npt.NDArray[np.int64], weights: npt.NDArray[np.int64], *, axis: int) -> Pixels:
    shape = [1, 1, 1]
    shape[axis] = len(positions)
    total: npt.NDArray[np.int64] = np.full((), 1 << (_PRECISION_BITS - 1), dtype=np.int64)
    for tap in range(positions.shape[1]):
        picked = np.take(source, np.minimum(positions[:, tap], source.shape[axis] - 1), axis=axis)
        total = total + picked * weights[:, tap].reshape(shape)
    return (total >> _PRECISION_BITS).clip(0, 255).astype(np.uint8)
