"""What a model takes and gives, as its manifest says: names, shapes, numbers, and what its values mean."""

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
"""Numbers of inputs, by their names in manifests. Outputs are of the first two."""

LAYOUTS: Final = ("NCHW", "NHWC")
ACTIVATIONS: Final = ("softmax", "sigmoid")


@dataclass(frozen=True)
class Input:
    """The graph's input: `size` is height and width; `batch` how many pictures one run takes, 0 for any number."""

    name: str = "input"
    layout: str = "NCHW"
    size: tuple[int, int] = (224, 224)
    batch: int = 0
    dtype: str = "float32"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one picture."""
        return (3, *self.size) if self.layout == "NCHW" else (*self.size, 3)

    @property
    def byte_count(self) -> int:
        """Bytes of one picture's tensor: 602112 for 224 x 224 in float32."""
        return 3 * self.size[0] * self.size[1] * DTYPES[self.dtype].itemsize

    def of_picture(self, picture: Picture, preprocessing: Preprocessing, threads: int = 1) -> Array:
        """The input (1, ...) for a `picture`, on at most `threads`. For uint8 the levels go in as they are."""
        if self.dtype == "uint8":
            pixels = preprocessing.pixels(picture.image, size=picture.size, threads=threads)[np.newaxis]
            return np.ascontiguousarray(pixels if self.layout == "NHWC" else pixels.transpose(0, 3, 1, 2))
        tensor = preprocessing.tensor(picture.image, size=picture.size, threads=threads)
        if self.layout == "NHWC":
            tensor = tensor.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(tensor, dtype=DTYPES[self.dtype])

    def of_bytes(self, data: bytes) -> Array:
        """The input (1, ...) that lies in `data`, little-endian: `byte_count` bytes."""
        return np.frombuffer(data, dtype=DTYPES[self.dtype]).reshape(1, *self.shape)


@dataclass(frozen=True)
class Output:
    """The graph's output: a value for each of `classes`, of which the first `offset` have no label.

    `activation` is what scores are: `softmax` for classes of which one is right, `sigmoid` for such as do not exclude
    one another. The graph has applied it itself where `in_graph`.
    """

    name: str
    classes: int
    activation: str = "softmax"
    in_graph: bool = False
    dtype: str = "float32"
    offset: int = 0
