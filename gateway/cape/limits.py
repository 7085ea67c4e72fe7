"""Cape's routes and the limits of their callers: those count that cost the enclave something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindsight.errors import CapeError
from gateway.allowance import KEY, hold_up

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from gateway.services import Services


async def count(connection: HTTPConnection, username: str | None = None) -> None:
    """Count a request, or an input of a WebSocket, of the account `username`; without one, of the token or the address.

    Raises `CapeError` (`rate_limited`).
    """
    services: Services = connection.app.state.services
    limiter = services.limiter
    if limiter is None:
        return
    from gateway.ratelimits.limiter import Allowance, Exceeded, account_key  # noqa: PLC0415 -- only with limits

    caller = limiter.caller_of(connection) if username is None else account_key(username)
    allowance = connection.scope.setdefault("state", {})[KEY] = Allowance(limiter, caller)
    try:
        await allowance.begin(images=False)
    except Exceeded as error:
        hold_up(connection.scope["state"], allowance)
        raise CapeError("rate_limited", f"too many requests: {error}", retry_after=error.retry_after) from error
