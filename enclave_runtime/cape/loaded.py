"""The cache of unpacked functions in memory, shared by sessions."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from enclave_runtime import threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from enclave_runtime.cape.functions import LoadedFunction
    from enclave_runtime.cape.quota import Quota, Share


class LoadedFunctions:
    """Functions in use stay; of the others, the longest unused are evicted when memory is needed."""

    def __init__(self, quota: Quota, drop: Callable[[Path], Awaitable[None]]) -> None:
        """`quota` counts bytes of bundles; `drop` ends the spare processes of the function with this code folder."""
        self._quota = quota
        self._drop = drop
        self._loaded: OrderedDict[str, LoadedFunction] = OrderedDict()

    def acquire(self, function_id: str) -> LoadedFunction | None:
        """The cached function, to be returned with `release`; None if it is not cached."""
        function = self._loaded.get(function_id)
        if function is not None:
            self._loaded.move_to_end(function_id)
            function.users += 1
        return function

    async def add(self, function_id: str, function: LoadedFunction, share: Share) -> LoadedFunction:
        """Cache `function`, whose bytes `share` holds, and acquire it, or the one that another session has added
        meanwhile.
        """
        present = self.acquire(function_id)
        if present is not None:
            await threads.BUNDLES.run(function.remove)
            return present
        function.account = share.account
        share.hand_on(function.memory_bytes)
        self._loaded[function_id] = function
        function.users = 1
        return function

    def release(self, function: LoadedFunction) -> None:
        """Return `function`, which stays cached."""
        function.users -= 1

    async def take(self, share: Share, count: int) -> None:
        """Add `count` bytes to `share`, evicting unused functions if necessary.

        Raises `CapeError` (`overloaded`).
        """
        while (refusal := self._quota.refusal(share.account, count)) is not None:
            # Another account's functions make no room in an account's own part.
            own = share.account if self._quota.over_own(share.account, count) else None
            function_id = next((name for name, each in self._loaded.items() if each.unused_of(own)), None)
            if function_id is None:
                raise refusal
            await self._forget(function_id)
        share.take(count)

    async def close(self) -> None:
        """Delete all."""
        while self._loaded:
            await self._forget(next(iter(self._loaded)))

    async def _forget(self, function_id: str) -> None:
        function = self._loaded.pop(function_id)
        try:
            await self._drop(function.code)
            await threads.BUNDLES.run(function.remove)
        finally:
            self._quota.give_back(function.account, function.memory_bytes)
