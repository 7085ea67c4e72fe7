"""What stops a release from being made."""

from __future__ import annotations


class ReleaseBuildError(Exception):
    """The release cannot be made. `next_step` says what to do now."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step
