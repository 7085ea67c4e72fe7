"""Expecting a refusal by its code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import BlindsightError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def refused(*codes: str) -> AbstractContextManager[Any]:
    """The block ends with an error of ours that has one of these `codes`, and says what to do about it."""
    return pytest.raises(BlindsightError, check=lambda error: error.code in codes and bool(error.next_step))
