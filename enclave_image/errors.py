"""What the builder raises."""

from __future__ import annotations


class ImageError(Exception):
    """The image cannot be built. `next_step` says what to do now."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step
