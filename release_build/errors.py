"""The error of this package."""

from __future__ import annotations


class ReleaseBuildError(Exception):
    """The release cannot be built. `next_step` is a sentence that tells the user what to do; nothing was written."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step
