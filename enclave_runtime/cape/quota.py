"""Quotas shared by all accounts, with a limit for each account."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Quota:
    """`total` units, of which each account can use `each`. `what` names the unit in a refusal."""

    def __init__(self, what: str, *, total: int, each: int) -> None:
        self._what = what
        self._total = total
        self._each = each
        self._held: Counter[bytes] = Counter()

    @property
    def taken(self) -> int:
        """Used by all accounts together."""
        return self._held.total()

    def refusal(self, account: bytes, count: int) -> CapeError | None:
        """The error (`overloaded`) if `account` cannot take `count` more now; else None."""
        if self.over_own(account, count):
            return CapeError("overloaded", f"the account has too many {self._what} at once; try again later")
        if self.taken + count > self._total:
            return CapeError("overloaded", f"the enclave has no room for more {self._what} now; try again later")
        return None

    def over_own(self, account: bytes, count: int) -> bool:
        """Whether `count` more would exceed the limit of `account`, independent of others."""
        return self._held[account] + count > self._each

    def take(self, account: bytes, count: int = 1) -> None:
        """Raises `CapeError` (`overloaded`)."""
        if (refusal := self.refusal(account, count)) is not None:
            raise refusal
        self._held[account] += count

    def give_back(self, account: bytes, count: int = 1) -> None:
        """Return `count` units."""
        self._held[account] -= count
        if not self._held[account]:
            del self._held[account]

    @contextlib.contextmanager
    def share(self, account: bytes) -> Iterator[Share]:
        """A share that can grow within the block, and is returned at its end."""
        share = Share(self, account)
        try:
            yield share
        finally:
            share.give_back()


class Share:
    """The units that one use of a quota has taken so far."""

    def __init__(self, quota: Quota, account: bytes) -> None:
        self.account = account
        self.taken = 0
        self._quota = quota

    def take(self, count: int) -> None:
        """Raises `CapeError` (`overloaded`)."""
        self._quota.take(self.account, count)
        self.taken += count

    def give_back(self, count: int | None = None) -> None:
        """Return all units, or `count`."""
        count = self.taken if count is None else count
        self._quota.give_back(self.account, count)
        self.taken -= count

    def hand_on(self, count: int) -> None:
        """Transfer `count` units to a new holder, who returns them later."""
        self.taken -= count
