"""Values of a manifest's members, each of the type and within the bounds that the function can serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from photo_classifier.problems import ModelError

if TYPE_CHECKING:
    from collections.abc import Collection

    from photo_classifier.transform import Size

MOST_PIXELS: Final = 8192
"""Longest side of the input and of a resized picture."""

MOST_COUNT: Final = (1 << 31) - 1
"""Largest other whole number."""

LEAST_NUMBER: Final = 1e-30
MOST_NUMBER: Final = 1e30
"""Bounds of the transform's numbers: their products remain within float32."""

_SHOWN: Final = 40


def shown(value: object) -> str:
    """`value` in a message: a text or number as it is, cut off; otherwise its type."""
    if isinstance(value, str | float | bool) or value is None:
        return str(value)[:_SHOWN]
    if isinstance(value, int):
        # Python refuses to write integers of more digits than its limit.
        return str(value)[:_SHOWN] if abs(value) < 10**_SHOWN else "a larger number"
    return f"a {type(value).__name__}"


def text(value: object, what: str) -> str:
    """A text of at least one character. Raises `ModelError`."""
    if not isinstance(value, str) or not value or not _encodable(value):
        raise ModelError(f"model.json gives {what} no name")
    return value


def one_of(known: Collection[str], value: object, what: str) -> str:
    """One of the names `known`. Raises `ModelError`."""
    if not isinstance(value, str) or value not in known:
        raise ModelError(f"model.json asks for the {what} {shown(value)}; this function knows {', '.join(known)}")
    return value


def whole(value: object, what: str, *, least: int, most: int = MOST_COUNT) -> int:
    """A whole number. Raises `ModelError`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ModelError(f"model.json gives the {what} as {shown(value)}")
    return value


def side(value: object, what: str) -> int:
    """A number of pixels. Raises `ModelError`."""
    return whole(value, what, least=1, most=MOST_PIXELS)


def size(value: object) -> Size:
    """Height and width in pixels. Raises `ModelError`."""
    if not isinstance(value, list) or len(value) != 2:
        raise ModelError("model.json does not give sizes as height and width")
    return side(value[0], "height"), side(value[1], "width")


def number(value: object, what: str) -> float:
    """A finite number. Raises `ModelError`."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= MOST_NUMBER:
        raise ModelError(f"model.json gives the {what} as {shown(value)}")
    return float(value)


def positive(value: object, what: str) -> float:
    """A number by which pictures are scaled or divided. Raises `ModelError`."""
    found = number(value, what)
    if found < LEAST_NUMBER:
        raise ModelError(f"model.json scales pictures to nothing, or divides by nothing: the {what} is {found}")
    return found


def mean(value: object) -> tuple[float, float, float]:
    """The means of the three channels. Raises `ModelError`."""
    first, second, third = (number(each, "mean of a channel") for each in _three(value))
    return first, second, third


def std(value: object) -> tuple[float, float, float]:
    """The standard deviations of the three channels. Raises `ModelError`."""
    first, second, third = (positive(each, "standard deviation of a channel") for each in _three(value))
    return first, second, third


def _three(value: object) -> list[object]:
    if not isinstance(value, list) or len(value) != 3:
        raise ModelError("model.json does not give three means and three standard deviations")
    return value


def _encodable(value: str) -> bool:
    """Whether it is Unicode text: JSON can hold halves of surrogate pairs."""
    return not any("\ud800" <= character <= "\udfff" for character in value)
