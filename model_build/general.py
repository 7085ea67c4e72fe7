"""The parts of a `blindsight-model/2` manifest, which states every fact that ResNet50's contract leaves out.

docs/models.md describes each member. `Facts.fixed` tells whether a model needs such a manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_PIXELS: Final = 8192
"""Longest side of the input and of a resized picture, the same as in the function."""

MOST_INPUT_BYTES: Final = 1 << 29
"""Largest input of one run of a graph with a fixed batch size, or of one image, the same as in the function."""

MOST_COUNT: Final = (1 << 31) - 1
"""Largest other whole number, the same as in the function."""

LEAST_NUMBER: Final = 1e-30
MOST_NUMBER: Final = 1e30
"""Bounds of the transform's numbers, the same as in the function: their products remain within float32."""

Text = Annotated[str, Field(min_length=1)]
Side = Annotated[int, Field(ge=1, le=MOST_PIXELS)]
Count = Annotated[int, Field(ge=1, le=MOST_COUNT)]
Size = tuple[Side, Side]
"""Height and width, in pixels."""

_Number = Annotated[float, Field(ge=-MOST_NUMBER, le=MOST_NUMBER)]
Triple = tuple[_Number, _Number, _Number]
_Positive = Annotated[float, Field(ge=LEAST_NUMBER, le=MOST_NUMBER)]
Divisors = tuple[_Positive, _Positive, _Positive]

Layout = Literal["NCHW", "NHWC"]
Interpolation = Literal["bilinear", "bicubic"]
Channels = Literal["RGB", "BGR"]
Activation = Literal["softmax", "sigmoid"]
AppliedBy = Literal["function", "graph"]

OF_255: Final = 1 / 255
MEAN: Final[Triple] = (0.485, 0.456, 0.406)
STD: Final[Triple] = (0.229, 0.224, 0.225)
"""ImageNet's mean and standard deviation, of levels in 0..1."""


_ITEM_BYTES: Final = {"float32": 4, "float16": 2, "uint8": 1}


class Part(BaseModel):
    """A part of a manifest; immutable, and without unknown members."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Input(Part):
    """The graph's input: `size` is height and width in pixels, `batch` the number of images in one run."""

    name: Text
    layout: Layout
    size: Size
    batch: Count | Literal["free"]
    dtype: Literal["float32", "float16", "uint8"]

    @model_validator(mode="after")
    def _fits_in_memory(self) -> Input:
        pictures = 1 if self.batch == "free" else self.batch
        if pictures * 3 * self.size[0] * self.size[1] * _ITEM_BYTES[self.dtype] > MOST_INPUT_BYTES:
            raise ValueError(f"an input of more than {MOST_INPUT_BYTES >> 20} MiB in one run")
        return self

    def shape(self, pictures: int) -> tuple[int, int, int, int]:
        """The shape of a tensor of `pictures` images."""
        return (pictures, 3, *self.size) if self.layout == "NCHW" else (pictures, *self.size, 3)


class Output(Part):
    """The graph's output: one value for each of `classes`.

    `activation`: `softmax` if exactly one class is right, `sigmoid` if classes are independent (multi-label).
    `applied_by`: whether the graph or the function computes it.
    """

    name: Text
    classes: Count
    activation: Activation
    applied_by: AppliedBy
    dtype: Literal["float32", "float16"]


class Preprocessing(Part):
    """The transform in front of the model: resize, crop the centre, `(level * scale - mean) / std`; levels 0..255.

    `resize`: the length of the shorter side, or height and width without keeping the aspect ratio; in pixels. `mean`
    and `std` have the order of `channels`.
    """

    resize: Side | Size
    crop: Size
    interpolation: Interpolation
    antialias: Literal[True] = True
    scale: _Positive
    mean: Triple
    std: Divisors
    channels: Channels

    @model_validator(mode="after")
    def _crop_fits(self) -> Preprocessing:
        sides = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
        if sides[0] < self.crop[0] or sides[1] < self.crop[1]:
            raise ValueError(f"pictures are resized to {self.resize}, smaller than the input of {self.crop}")
        return self


@dataclass(frozen=True)
class Facts:
    """Input, transform and output of a model. The first `offset` values of the output have no label."""

    input: Input
    preprocessing: Preprocessing
    output: Output
    offset: int = 0

    @property
    def fixed(self) -> bool:
        """Whether this is the contract of `blindsight-model/1`, in which only resize, mean, std and classes vary."""
        ours = Input(name="input", layout="NCHW", size=(224, 224), batch="free", dtype="float32")
        like = Preprocessing(
            resize=224, crop=(224, 224), interpolation="bilinear", scale=OF_255, mean=MEAN, std=STD, channels="RGB"
        )
        free = {name: getattr(self.preprocessing, name) for name in ("resize", "mean", "std")}
        return (
            self.input == ours
            and isinstance(self.preprocessing.resize, int)
            and self.preprocessing == like.model_copy(update=free)
            and self.output == softmax_of_logits("output", self.output.classes)
            and self.output.classes > 1
            and self.offset == 0
        )


def softmax_of_logits(name: str, classes: int) -> Output:
    """An output of float32 logits for softmax."""
    return Output(name=name, classes=classes, activation="softmax", applied_by="function", dtype="float32")
