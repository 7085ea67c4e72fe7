"""Where requests meet the limits of their callers. Without limits it does nothing, and imports nothing."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from blindsight.problems import Problem
from gateway.errors import RETRY_AFTER_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from gateway.ratelimits.limiter import Allowance, RateLimiter

KEY: Final = "allowance"
"""Key in `scope["state"]`."""

FREE: Final = frozenset(
    {"bad_request", "overloaded", "draining", "enclave_unavailable", "evidence_refused", "ohttp_key"}
)
"""Refusals after which an image counts in no quota, because no enclave has processed it."""


@dataclass
class Bill:
    """The images that a request is charged for."""

    unused: int = 0
    """Images that no enclave has processed; the block sets it."""


async def count(request: Request, limiter: RateLimiter | None, *, images: bool = True) -> None:
    """Count the request, once; if it is with `images`, its caller must have one left.

    Raises `Problem` (`rate_limited`, `quota_exceeded`).
    """
    if limiter is None or KEY in request.scope["state"]:
        return
    from gateway.ratelimits.limiter import Allowance, Exceeded  # noqa: PLC0415 -- imported already, with the limiter

    allowance = request.scope["state"][KEY] = Allowance(limiter, limiter.caller_of(request))
    try:
        await allowance.begin(images=images)
    except Exceeded as error:
        hold_up(request.scope["state"], allowance)
        raise error.problem() from error


def hold_up(state: dict[str, Any], allowance: Allowance) -> None:
    """Let the connection delay a refused caller that comes back at once, if the caller is an address.

    Callers with tokens can share a connection, behind a proxy: one must not delay the others.
    """
    if allowance.by_address:
        state["retry_after"] = RETRY_AFTER_SECONDS


@contextlib.asynccontextmanager
async def charged(request: Request, images: int) -> AsyncIterator[Bill]:
    """Charge the caller of a counted request for `images`, which the block passes to an enclave.

    Raises `Problem` (`quota_exceeded`). If the block raises one of the refusals of `FREE`, nothing is charged.
    """
    allowance = cast("Allowance | None", request.scope["state"].get(KEY))
    bill = Bill()
    if allowance is None or not images:
        yield bill
        return
    try:
        await allowance.charge(images)
    except Problem:
        hold_up(request.scope["state"], allowance)
        raise
    try:
        yield bill
    except Problem as problem:
        if problem.kind.code in FREE:
            bill.unused = images
        raise
    finally:
        if bill.unused:
            await allowance.give_back(bill.unused)
