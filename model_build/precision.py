"""What a manifest says of the arithmetic that its graph computes in. Without that it is float32."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from model_build.general import Part

LEAST_AGREEMENT: Final = 0.98
"""Share of the images on which the best class must be float32's; an int8 graph below it is not written."""

LEAST_SPEED: Final = 1.5
"""How many times float32's images a second, on one thread of the building machine; neither is a slower one."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
ImageSet = Literal["given", "synthetic"]
"""Images that the builder was given, or pictures drawn by `model_build.synthetic`."""

Activations = Literal["uint8", "int8"]


class Calibration(Part):
    """The images from which the ranges of the activations were taken."""

    images: int = Field(ge=1)
    set: ImageSet


class Agreement(Part):
    """How the answers compare with those of the float32 graph, on images that took no part in the calibration.

    `top1` is the share of images with the same best class, `top5` the mean share of float32's five best classes that
    are among the five best, `logits` the largest difference of a logit in parts of the range of its image's logits.
    `speed` is a lower bound, not the figure measured, which differs from one build to the next.
    """

    images: int = Field(ge=1)
    set: ImageSet
    top1: Share
    top5: Share
    logits: Annotated[float, Field(ge=0)]
    speed: Annotated[float, Field(ge=1)] | Literal["unmeasured"]


class Precision(Part):
    """`of` is the SHA-256 of the float32 graph; `float` names the operators that stayed float32.

    A graph that came with integers in it has none of that: nothing is known of its float32 original.
    """

    name: Literal["int8"]
    of: Sha256 | None = None
    weights: Literal["int8"] | None = None
    activations: Activations | None = None
    float: tuple[str, ...] | None = None
    calibration: Calibration | None = None
    agreement: Agreement | None = None

    def __str__(self) -> str:
        """In a few words, for people: the set is named wherever the agreement is."""
        if self.agreement is None:
            return self.name
        agreed = self.agreement
        return f"{self.name} (best class as in float32 on {agreed.top1:.1%} of {agreed.images} {agreed.set} images)"
