"""User ids for confined processes, each used by one process of the machine only."""

from __future__ import annotations

import random
import socket
import threading
from typing import Final

_FIRST: Final = 61_184
_COUNT: Final = 4_096
"""The range that systemd uses for transient users; containers map it, too."""


class Users:
    """Allocates user ids. Used in threads."""

    def __init__(self, first: int = _FIRST, count: int = _COUNT) -> None:
        self._range = range(first, first + count)
        # Two runtimes would often meet if both began at the first.
        self._next = random.randrange(count)  # noqa: S311 -- no secret
        self._taken: dict[int, socket.socket] = {}
        self._lock = threading.Lock()

    def take(self) -> int:
        """An unused id. Raises `OSError`."""
        with self._lock:
            for _ in self._range:
                user = self._range[self._next % len(self._range)]
                self._next += 1
                if user not in self._taken and (claim := _claim(user)) is not None:
                    self._taken[user] = claim
                    return user
        raise OSError("no user id is free")

    def give_back(self, user: int) -> None:
        """Return an id, after its process and children have ended."""
        with self._lock:
            self._taken.pop(user).close()


def _claim(user: int) -> socket.socket | None:
    """A name that only one process of the machine can hold, until it ends; None if another holds it."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0blindsight-user-{user}")
    except OSError:
        claim.close()
        return None
    return claim
