"""The root of everything that Blindsight raises on purpose."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


class BlindsightError(Exception):
    """Root of the tree; raised only as one of its subclasses."""

    NEXT_STEPS: ClassVar[Mapping[str, str]] = MappingProxyType({})
    RETRYABLE: ClassVar[bool] = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.next_step = self.NEXT_STEPS[code]

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed unchanged."""
        return self.RETRYABLE
