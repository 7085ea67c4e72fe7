"""The precision in a manifest: the arithmetic of its graph. A manifest without it means float32."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from model_build.general import Count, Part

LEAST_AGREEMENT: Final = 0.98
"""Least share of the images on which the best class must equal float32's; otherwise no int8 graph is written."""

LEAST_SPEED: Final = 1.5
"""Least speed of an int8 graph, as a multiple of float32's images per second on one thread of the building machine."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
ImageSet = Literal["given", "synthetic"]
"""Images of the user, or synthetic ones (`model_build.synthetic`)."""

Activations = Literal["uint8", "int8"]


class Calibration(Part):
    """The images that determined the ranges of the activations."""

    images: Count
    set: ImageSet


class Agreement(Part):
    """Comparison with the float32 graph on images that were not used for calibration.

    `top1`: share of images with the same best class. `top5`: mean share of float32's five best classes that are among
    the five best. `logits`: largest difference of a logit, relative to the range of its image's logits. `speed`: a
    lower bound as a multiple of float32's; the measured figure differs between builds.
    """

    images: Count
    set: ImageSet
    top1: Share
    top5: Share
    logits: Annotated[float, Field(ge=0)]
    speed: Annotated[float, Field(ge=1)] | Literal["unmeasured"]


class Precision(Part):
    """`of`: SHA-256 of the float32 graph. `float`: names of the operators that stay in float32.

    For a graph that was imported with integers only `name` is present, because its float32 original is unknown.
    """

    name: Literal["int8"]
    of: Sha256 | None = None
    weights: Literal["int8"] | None = None
    activations: Activations | None = None
    float: tuple[str, ...] | None = None
    calibration: Calibration | None = None
    agreement: Agreement | None = None

    def __str__(self) -> str:
        """A short text for people; it names the set of images with the agreement."""
        if self.agreement is None:
            return self.name
        agreed = self.agreement
        return f"{self.name} (best class as in float32 on {agreed.top1:.1%} of {agreed.images} {agreed.set} images)"


LEFT_OUT: Final = (
    "NOTE: the agreement with float32 was measured with another decoding or transform, and is left out of the manifest;"
    " `model quantise` measures it for the float32 model"
)


def unmeasured(precision: Precision) -> Precision:
    """`precision` for another decoding or transform than that with which its ranges and agreement were measured."""
    return Precision(name=precision.name)
