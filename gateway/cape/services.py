"""Shared services of the Cape endpoints, created once for each application."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from blindsight.cape.constants import IDLE_SECONDS
from blindsight.errors import CapeError
from gateway.cape.guesses import Guesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Gauge
    from starlette.requests import HTTPConnection, Request

    from gateway.cape.bundles import Bundles
    from gateway.cape.enclaves import CapeEnclaves
    from gateway.cape.store import Store
    from gateway.tokens import TokenStore


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
    bundles: Bundles
    enclave: CapeEnclaves
    may_sign_up: Callable[[Request], None]
    signup_tokens: TokenStore | None = None
    """Tokens for creating accounts, if they have a file of their own."""
    guesses: Guesses = field(default_factory=Guesses)
    sessions: Sessions = field(default_factory=lambda: Sessions(512))
    idle_seconds: float = IDLE_SECONDS
    """Time without data after which a connection is closed."""


def cape_of(connection: HTTPConnection) -> CapeServices:
    """The services of the application that this request or WebSocket came to."""
    return cast("CapeServices", connection.app.state.services.cape)
