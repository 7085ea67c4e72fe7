"""Facts about a classifier that were given: by options of the command line, or by files beside the graph."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, get_args

from model_build import general
from model_build.general import Activation, AppliedBy, Channels, Divisors, Interpolation, Layout, Size, Triple

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from model_build.general import Facts

_HALF: Final[Triple] = (0.5, 0.5, 0.5)
_CLIP: Final[tuple[Triple, Triple]] = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)

NORMALISATIONS: Final[dict[str, tuple[float, Triple, Triple]]] = {
    "imagenet": (general.OF_255, general.MEAN, general.STD),
    "half": (general.OF_255, _HALF, _HALF),
    "clip": (general.OF_255, *_CLIP),
    "unit": (general.OF_255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "levels": (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Scale, mean and standard deviation by name: ImageNet's; -1..1; CLIP's; 0..1; grey levels 0..255."""


@dataclass(frozen=True)
class Told:
    """Given facts of a classifier; None for others. Sizes in pixels, height first."""

    input: str | None = None
    layout: Layout | None = None
    size: Size | None = None
    batch: int | None = None
    output: str | None = None
    activation: Activation | None = None
    applied_by: AppliedBy | None = None
    label_offset: int | None = None
    resize: int | Size | None = None
    interpolation: Interpolation | None = None
    channels: Channels | None = None
    scale: float | None = None
    mean: Triple | None = None
    std: Divisors | None = None

    def over(self, other: Told) -> Told:
        """These facts, and those of `other` that these leave out."""
        mine = {name: value for name, value in vars(self).items() if value is not None}
        return replace(other, **mine)

    @property
    def is_empty(self) -> bool:
        """Whether no fact was given."""
        return self == Told()


def of_facts(facts: Facts) -> Told:
    """All facts of a manifest."""
    return Told(
        input=facts.input.name,
        layout=facts.input.layout,
        size=facts.input.size,
        batch=None if facts.input.batch == "free" else facts.input.batch,
        output=facts.output.name,
        activation=facts.output.activation,
        applied_by=facts.output.applied_by,
        label_offset=facts.offset,
        resize=facts.preprocessing.resize,
        interpolation=facts.preprocessing.interpolation,
        channels=facts.preprocessing.channels,
        scale=facts.preprocessing.scale,
        mean=facts.preprocessing.mean,
        std=facts.preprocessing.std,
    )


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the options for facts that cannot be determined, or that should differ."""
    group = command.add_argument_group(
        "an ONNX classifier", "Facts that the import cannot determine from the graph: docs/models.md."
    )
    group.add_argument("--input", metavar="NAME", help="name of the input")
    group.add_argument("--layout", choices=get_args(Layout), help="order of the input's axes")
    group.add_argument(
        "--size", type=_size, metavar="HxW", help="the input's height and width, or the side of a square"
    )
    group.add_argument("--batch", type=_whole, metavar="N", help="number of images in one run (default: any)")
    group.add_argument("--output", metavar="NAME", help="name of the output with one value for each class")
    group.add_argument(
        "--activation",
        choices=get_args(Activation),
        help="softmax: exactly one class is right; sigmoid: several classes can be right (multi-label)",
    )
    group.add_argument(
        "--applied-by", choices=get_args(AppliedBy), help="whether the graph computes the scores, or the function"
    )
    group.add_argument(
        "--label-offset",
        type=_offset,
        metavar="N",
        help="number of values before the first label (1: a background class)",
    )
    group.add_argument(
        "--resize",
        type=_resize,
        metavar="N|HxW",
        help="resize the shorter side to N, or every image to HxW, before the centre is cropped"
        " (default: the shorter side to 232/224 of a square input)",
    )
    group.add_argument(
        "--interpolation", choices=get_args(Interpolation), help="filter of the resize (default bilinear)"
    )
    group.add_argument("--channels", choices=get_args(Channels), help="order of the channels (default RGB)")
    group.add_argument(
        "--normalisation",
        choices=NORMALISATIONS,
        help="imagenet (default), half (-1..1), clip, unit (0..1) or levels (0..255)",
    )
    group.add_argument("--scale", type=_number, metavar="X", help="factor for grey levels, such as 1/255")
    group.add_argument("--mean", type=_three, metavar="R,G,B", help="mean of the scaled levels, which is subtracted")
    group.add_argument("--std", type=_three, metavar="R,G,B", help="standard deviation, by which the result is divided")


def of_options(options: argparse.Namespace) -> Told:
    """The facts that the options give."""
    scale, mean, std = NORMALISATIONS.get(options.normalisation or "", (None, None, None))
    said = {each.name: getattr(options, each.name) for each in fields(Told)}
    return Told(**said).over(Told(scale=scale, mean=mean, std=std))


def _number(text: str) -> float:
    above, separator, below = text.partition("/")
    divisor = float(below) if separator else 1.0
    value = float(above) / divisor if divisor else 0.0
    if not 0 < value < 1e6:
        raise ValueError("a scale is above 0")
    return value


def _three(text: str) -> Triple:
    numbers = [float(each) for each in text.split(",")]
    if len(numbers) == 1:
        numbers *= 3
    first, second, third = numbers
    return first, second, third


def _whole(text: str) -> int:
    return _at_least(1)(text)


def _offset(text: str) -> int:
    return _at_least(0)(text)


def _at_least(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if (value := int(text)) < least:
            raise ValueError(f"a number from {least}")
        return value

    return read


def _size(text: str) -> Size:
    height, separator, width = text.lower().partition("x")
    return _whole(height), _whole(width if separator else height)


def _resize(text: str) -> int | Size:
    return _size(text) if "x" in text.lower() else _whole(text)
