"""Turns an image upright according to its EXIF orientation (EXIF 2.32, section 4.6.4)."""

from __future__ import annotations

from typing import Final

from PIL import Image

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels, which may be fractions."""

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_SIDEWAYS: Final = frozenset({5, 6, 7, 8})
"""Orientations that exchange width and height."""

_LEFT_EDGE_RIGHT: Final = frozenset({2, 3, 6, 7})
"""Orientations whose upright image has its left edge where the stored image (5 to 8: exchanged) has the other one."""

_TOP_EDGE_BELOW: Final = frozenset({3, 4, 7, 8})
"""The same of the top edge."""


def sides(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height of an image of `size` after it was turned upright."""
    return (size[1], size[0]) if orientation in _SIDEWAYS else size


def upright(image: Image.Image, extent: tuple[float, float], orientation: int) -> tuple[Image.Image, Box]:
    """Turn `image` upright. Returns it with the box that its content covers.

    `extent`: width and height of the content in pixels of `image`, from its top left corner. A JPEG that was decoded
    smaller covers only a part of its last column and row.
    """
    turn = _TURNS.get(orientation)
    if turn is not None:
        image = image.transpose(turn)
    width, height = (extent[1], extent[0]) if orientation in _SIDEWAYS else extent
    left = image.width - width if orientation in _LEFT_EDGE_RIGHT else 0
    top = image.height - height if orientation in _TOP_EDGE_BELOW else 0
    return image, (left, top, left + width, top + height)
