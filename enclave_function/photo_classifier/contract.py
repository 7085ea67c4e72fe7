"""Input and output of a model, as its manifest states them: names, shapes, number types and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from photo_classifier.decode import Picture
    from photo_classifier.transform import Preprocessing

Array = npt.NDArray[Any]

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "uint8": np.dtype("u1"),
}
"""Number types of inputs by their names in manifests, little-endian. Outputs have one of the first two."""

LAYOUTS: Final = ("NCHW", "NHWC")
ACTIVATIONS: Final = ("softmax", "sigmoid")


@dataclass(frozen=True)
class Input:
    """The graph's input: `size` is height and width in pixels; `batch` the number of images in one run, 0 for any."""

    name: str = "input"
    layout: str = "NCHW"
    size: tuple[int, int] = (224, 224)
    batch: int = 0
    dtype: str = "float32"

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image's tensor, without batch axis."""
        return (3, *self.size) if self.layout == "NCHW" else (*self.size, 3)

    @property
    def byte_count(self) -> int:
        """Bytes of one image's tensor: 602112 for 224 x 224 in float32."""
        return 3 * self.size[0] * self.size[1] * DTYPES[self.dtype].itemsize

    def of_picture(self, picture: Picture, preprocessing: Preprocessing, threads: int = 1) -> Array:
        """The input (1, ...) for a `picture`, on at most `threads` threads. A uint8 input takes the grey levels."""
        if self.dtype == "uint8":
            pixels = preprocessing.pixels(picture.image, size=picture.size, box=picture.box, threads=threads)
            pixels = pixels[np.newaxis]
            return np.ascontiguousarray(pixels if self.layout == "NHWC" else pixels.transpose(0, 3, 1, 2))
        tensor = preprocessing.tensor(picture.image, size=picture.size, box=picture.box, threads=threads)
        if self.layout == "NHWC":
            tensor = tensor.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(tensor, dtype=DTYPES[self.dtype])

    def of_bytes(self, data: bytes) -> Array:
        """The input (1, ...) from `data`, little-endian.

        Raises `ValueError` unless `data` has `byte_count` bytes.
        """
        return np.frombuffer(data, dtype=DTYPES[self.dtype]).reshape(1, *self.shape)


@dataclass(frozen=True)
class Output:
    """The graph's output: one value for each of `classes`; the first `offset` have no label.

    `activation`: `softmax` if exactly one class is right, `sigmoid` if classes are independent. `in_graph`: the graph
    has applied it.
    """

    name: str
    classes: int
    activation: str = "softmax"
    in_graph: bool = False
    dtype: str = "float32"
    offset: int = 0
