"""User ids for confined processes: each has one that no other process has, of this runtime or of another's."""

from __future__ import annotations

import random
import socket
import threading
from typing import Final

_FIRST: Final = 61_184
_COUNT: Final = 4_096
"""The range that systemd keeps for users that exist only while something runs; containers map it, too."""


class Users:
    """Hands out user ids. Used in threads."""

    def __init__(self, first: int = _FIRST, count: int = _COUNT) -> None:
        self._range = range(first, first + count)
        # Two runtimes would often meet if both began at the first.
        self._next = random.randrange(count)  # noqa: S311 -- no secret
        self._taken: dict[int, socket.socket] = {}
        self._lock = threading.Lock()

    def take(self) -> int:
        """An id that no other process has. Raises `OSError`."""
        with self._lock:
            for _ in self._range:
                user = self._range[self._next % len(self._range)]
                self._next += 1
                if user not in self._taken and (claim := _claim(user)) is not None:
                    self._taken[user] = claim
                    return user
        raise OSError("no user id is free")

    def give_back(self, user: int) -> None:
        """Its process and all that it started have ended."""
        with self._lock:
            self._taken.pop(user).close()


def _claim(user: int) -> socket.socket | None:
    """A name that one process of the machine can have, and has no longer once it ended; None if another has it."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0blindsight-user-{user}")
    except OSError:
        claim.close()
        return None
    return claim
