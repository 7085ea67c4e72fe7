"""What the builder and the inspection raise."""

from __future__ import annotations


class BundleError(Exception):
    """The bundle cannot be built, or must not be used. `next_step` says what to do now."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step
