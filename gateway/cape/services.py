"""Shared services of the Cape endpoints, created once for each application."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

from blindsight.cape.constants import IDLE_SECONDS
from blindsight.errors import CapeError
from gateway.cape.guesses import Guesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from prometheus_client import Gauge
    from starlette.requests import HTTPConnection, Request

    from gateway.cape.bundles import Bundles
    from gateway.cape.enclave import EnclaveSession
    from gateway.cape.store import Store
    from gateway.tokens import TokenStore


class CapeEnclave(Protocol):
    """Requests of the endpoints to the enclave. A `record` is an account's sealed state; a `token` authenticates the
    owner.

    Every method can raise `CapeError`.
    """

    async def create_account(self, username: str, owner_public_key: bytes, proof: str) -> bytes:
        """The first record, version 1. `proof`: a token of scope `account` that this key signed."""
        ...

    async def user_key(self, record: bytes) -> bytes:
        """An attestation document that holds the account's Cape Key."""
        ...

    async def add_function(self, record: bytes, token: str) -> tuple[str, bytes]:
        """The id of the function that a deploy `token` allows, and the next record, with it."""
        ...

    async def delete_function(self, record: bytes, token: str, function_id: str) -> bytes:
        """The next record, without the function."""
        ...

    async def revoke_token(self, record: bytes, token: str, token_id: str, expires: datetime | None) -> bytes:
        """The next record, in which the token is revoked until it expires anyway."""
        ...

    async def commit(self, record: bytes) -> None:
        """Inform the enclave that `record` is stored."""
        ...

    async def grant(self, record: bytes, token: str) -> None:
        """Let the built-in classifier decrypt for the account, whose deploy `token` names its bundle."""
        ...

    async def open(self, **fields: str | bytes) -> EnclaveSession:
        """Begin a client's session; `fields` are CAPE_OPEN's (`blindsight.wire.cape`)."""
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


@dataclass
class Records:
    """What is known of the stored records. `sealed_elsewhere`: the enclave cannot decrypt them."""

    sealed_elsewhere: bool = False

    @property
    def notice(self) -> str:
        """What callers are told; empty if there is nothing."""
        if not self.sealed_elsewhere:
            return ""
        return (
            "ACCOUNTS CANNOT BE USED: the enclave has another root secret than the stored accounts were made with."
            " The operator can restore that secret, or delete the accounts."
        )


@dataclass(frozen=True)
class CapeServices:
    """The services of the Cape host. `may_sign_up` raises `Problem` for callers who cannot create an account."""

    store: Store
    bundles: Bundles
    enclave: CapeEnclave
    may_sign_up: Callable[[Request], None]
    signup_tokens: TokenStore | None = None
    """Tokens for creating accounts, if they have a file of their own."""
    guesses: Guesses = field(default_factory=Guesses)
    sessions: Sessions = field(default_factory=lambda: Sessions(512))
    records: Records = field(default_factory=Records)
    idle_seconds: float = IDLE_SECONDS
    """Time without data after which a connection is closed."""


def cape_of(connection: HTTPConnection) -> CapeServices:
    """The services of the application that this request or WebSocket came to."""
    return cast("CapeServices", connection.app.state.services.cape)
