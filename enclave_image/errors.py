"""The error of the image builder."""

from __future__ import annotations


class ImageError(Exception):
    """The image cannot be built. `next_step` is a sentence that tells the user what to do."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step
