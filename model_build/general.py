"""The parts of a `blindsight-model/2` manifest, which states every fact that ResNet50's contract leaves out.

docs/models.md describes each member. `Facts.fixed` tells whether a model needs such a manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Text = Annotated[str, Field(min_length=1)]
Side = Annotated[int, Field(ge=1)]
Size = tuple[Side, Side]
"""Height and width, in pixels."""

Triple = tuple[float, float, float]
_Positive = Annotated[float, Field(gt=0)]
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


class Part(BaseModel):
    """A part of a manifest; immutable, and without unknown members."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Input(Part):
    """The graph's input: `size` is height and width in pixels, `batch` the number of images in one run."""

    name: Text
    layout: Layout
    size: Size
    batch: Annotated[int, Field(ge=1)] | Literal["free"]
    dtype: Literal["float32", "float16", "uint8"]

    def shape(self, pictures: int) -> tuple[int, int, int, int]:
        """The shape of a tensor of `pictures` images."""
        return (pictures, 3, *self.size) if self.layout == "NCHW" else (pictures, *self.size, 3)


class Output(Part):
    """The graph's output: one value for each of `classes`.

    `activation`: `softmax` if exactly one class is right, `sigmoid` if classes are independent (multi-label).
    `applied_by`: whether the graph or the function computes it.
    """

    name: Text
    classes: int = Field(ge=1)
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
    scale: float = Field(gt=0)
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
