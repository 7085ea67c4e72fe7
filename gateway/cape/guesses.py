"""Limits on wrong user codes for each account and address (RFC 8628, section 5.1)."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW_SECONDS: Final = 600
"""A code's lifetime."""
MAX_WRONG: Final = 10
"""Per window. There are 20^8 codes, so the chance to guess one of 10 000 waiting codes is 4 in 10^6."""
_MAX_KNOWN: Final = 10_000
"""Maximum number of remembered callers; the oldest are dropped first."""


class Guesses:
    """Counts wrong codes by caller, in this process."""

    def __init__(self) -> None:
        self._wrong: dict[str, list[float]] = {}

    @contextlib.contextmanager
    def attempt(self, who: str) -> Iterator[None]:
        """One attempt: counted if the block raises `CapeError` (`unknown_code`). Raises `CapeError`
        (`too_many_guesses`).

        It is counted from its start, so that concurrent attempts count as well.
        """
        now = time.monotonic()
        recent = [moment for moment in self._wrong.pop(who, []) if moment > now - WINDOW_SECONDS]
        self._wrong[who] = recent
        if len(recent) >= MAX_WRONG:
            raise CapeError("too_many_guesses", "too many wrong codes; wait ten minutes")
        recent.append(now)
        while len(self._wrong) > _MAX_KNOWN:
            del self._wrong[next(iter(self._wrong))]
        try:
            yield
        except CapeError as error:
            if error.code != "unknown_code":
                recent.remove(now)
            raise
        except BaseException:
            recent.remove(now)
            raise
        else:
            recent.remove(now)
