"""Functions at hand: unpacked in memory, shared by their sessions, kept while there is room for them."""

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
    """Those in use stay; of the others, the longest unused go when their room is wanted."""

    def __init__(self, quota: Quota, drop: Callable[[Path], Awaitable[None]]) -> None:
        """`quota` is of bytes of bundles; `drop` ends what is in reserve of the function whose code is there."""
        self._quota = quota
        self._drop = drop
        self._loaded: OrderedDict[str, LoadedFunction] = OrderedDict()

    def acquire(self, function_id: str) -> LoadedFunction | None:
        """The function, to be given back with `release`; None if it is not at hand."""
        function = self._loaded.get(function_id)
        if function is not None:
            self._loaded.move_to_end(function_id)
            function.users += 1
        return function

    async def add(self, function_id: str, function: LoadedFunction, share: Share) -> LoadedFunction:
        """Keep `function`, whose bytes `share` has taken, or the one that was faster; acquired."""
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
        """Give `function` back. It stays at hand."""
        function.users -= 1

    async def take(self, share: Share, count: int) -> None:
        """Let `share` have `count` bytes more, in place of functions that are not in use if need be.

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
