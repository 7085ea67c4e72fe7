"""The transform in front of a classifier, which its graph does not contain: given, or else assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from model_build import general
from model_build.errors import ContractError
from model_build.general import Preprocessing
from model_build.told import NORMALISATIONS

if TYPE_CHECKING:
    from model_build.general import Input
    from model_build.told import Told

_RESIZED: Final = 232
_CROPPED: Final = 224
"""ResNet50's sides in pixels. Their ratio is the default for every square input."""


def settled(told: Told, given: Input) -> tuple[Preprocessing, list[str]]:
    """The transform for the input `given`, and one sentence for each assumption.

    Raises `ContractError`, and `ValidationError` if resize and size contradict each other.
    """
    assumed = []
    levels = given.dtype == "uint8"
    scale, mean, std = NORMALISATIONS["levels" if levels else "imagenet"]
    if levels and (told.scale, told.mean, told.std) not in {(None, None, None), (scale, mean, std)}:
        raise ContractError(
            "an input of uint8 takes grey levels as they are, so there is nothing to normalise",
            "leave the normalisation out; see docs/models.md",
        )
    if not levels and None in {told.scale, told.mean, told.std}:
        assumed.append(
            "ImageNet's mean and standard deviation of levels in 0..1; or `model build --normalisation NAME`"
        )
    height, width = given.size
    resize: int | general.Size
    if told.resize is not None:
        resize = told.resize
    elif height == width:
        resize = round(height * _RESIZED / _CROPPED)
        assumed.append(f"the shorter side is resized to {resize} and the centre cropped; or `model build --resize N`")
    else:
        resize = given.size
        assumed.append(f"pictures are resized to {height}x{width} whatever their shape; or `model build --resize N`")
    if told.interpolation is None:
        assumed.append("bilinear; or `model build --interpolation bicubic`")
    if told.channels is None:
        assumed.append("RGB; or `model build --channels BGR`")
    taken = Preprocessing(
        resize=resize,
        crop=given.size,
        interpolation=told.interpolation or "bilinear",
        scale=told.scale or scale,
        mean=told.mean or mean,
        std=told.std or std,
        channels=told.channels or "RGB",
    )
    return taken, assumed


def described(taken: Preprocessing) -> str:
    """The transform in words, for the command line."""
    if isinstance(taken.resize, int):
        resized = f"shorter side to {taken.resize}, centre"
    else:
        resized = f"resized to {taken.resize[0]}x{taken.resize[1]}, centre"
    scale = "1/255" if taken.scale == general.OF_255 else f"{taken.scale:g}"
    numbers = f"scale {scale}, mean {_listed(taken.mean)}, std {_listed(taken.std)}"
    return f"{taken.interpolation}, {resized} {taken.crop[0]}x{taken.crop[1]}, {taken.channels}, {numbers}"


def _listed(numbers: general.Triple) -> str:
    return ",".join(f"{each:g}" for each in numbers)
