"""The result of one check of `blindsight doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of one check: `good`, what was `seen`, and the remedy if it is not good.

    `absent`: there is nothing to check, which is no fault; the next step makes it.
    """

    name: str
    good: bool
    seen: str
    next_step: str = ""
    absent: bool = False
