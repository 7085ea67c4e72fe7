"""Shared services of the Cape endpoints, created once for each application."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

from blindsight.cape.constants import IDLE_SECONDS
from blindsight.errors import CapeError
from gateway.audit.log import Audit
from gateway.cape.guesses import Guesses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Set

    from prometheus_client import Gauge
    from starlette.requests import HTTPConnection, Request

    from gateway.cape.enclaves import CapeEnclaves
    from gateway.cape.store import Store
    from gateway.tokens import TokenStore


class Upload(Protocol):
    """A bundle during upload. `size`: bytes so far."""

    size: int

    async def write(self, chunk: bytes) -> None:
        """Append `chunk`. Raises `CapeError` (`too_large`, `overloaded`)."""
        ...

    async def keep(self, function_id: str) -> None:
        """Make this the bundle of `function_id`, durably; again, to rename it. Raises `CapeError` (`overloaded`)."""
        ...


class BundleStore(Protocol):
    """Where functions' ciphertexts are: a folder (`bundles`) or a bucket (`s3bundles`)."""

    def receiving(self) -> contextlib.AbstractAsyncContextManager[Upload]:
        """An upload, which is removed unless it is kept within the block."""
        ...

    def chunks(self, function_id: str) -> AsyncIterator[bytes]:
        """The bundle in pieces of a mebibyte. Raises `CapeError` (`unknown_function`, `overloaded`)."""
        ...

    async def delete(self, function_id: str) -> None:
        """Remove a bundle, if it exists. Raises `CapeError` (`overloaded`)."""
        ...

    async def sweep(self, known_ids: Set[str]) -> int:
        """Remove what crashes left, an hour later. Returns the number of removed bundles and uploads."""
        ...


class Sessions:
    """Places for connected clients; `draining` tells them that the gateway is shutting down."""

    def __init__(self, places: int, gauge: Gauge | None = None) -> None:
        self._places = places
        self._taken = 0
        self._gauge = gauge
        self.draining = asyncio.Event()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place. Raises `CapeError` (`overloaded`)."""
        if self._taken >= self._places or self.draining.is_set():
            raise CapeError("overloaded", "the service takes no more connections now")
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self._taken += change
        if self._gauge is not None:
            self._gauge.set(self._taken)


@dataclass(frozen=True)
class CapeServices:
    """The services of the Cape host. `may_sign_up` raises `Problem` for callers who cannot create an account."""

    store: Store
    bundles: BundleStore
    enclave: CapeEnclaves
    may_sign_up: Callable[[Request], None]
    signup_tokens: TokenStore | None = None
    """Tokens for creating accounts, if they have a file of their own."""
    guesses: Guesses = field(default_factory=Guesses)
    sessions: Sessions = field(default_factory=lambda: Sessions(512))
    audit: Audit = field(default_factory=Audit)
    idle_seconds: float = IDLE_SECONDS
    """Time without data after which a connection is closed."""


def cape_of(connection: HTTPConnection) -> CapeServices:
    """The services of the application that this request or WebSocket came to."""
    return cast("CapeServices", connection.app.state.services.cape)
