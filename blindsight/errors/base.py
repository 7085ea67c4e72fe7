"""The base class of Blindsight's exceptions."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


class BlindsightError(Exception):
    """Base class; only its subclasses are raised."""

    NEXT_STEPS: ClassVar[Mapping[str, str]] = MappingProxyType({})
    RETRYABLE: ClassVar[bool] = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.next_step = self.NEXT_STEPS[code]

    @property
    def retryable(self) -> bool:
        """Whether the same call can succeed later."""
        return self.RETRYABLE
