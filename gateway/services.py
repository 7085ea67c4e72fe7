"""Shared services of the routes, created once for each application."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from blindsight.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from starlette.requests import HTTPConnection, Request

    from gateway.admission import Admission, Places
    from gateway.audit.log import Audit
    from gateway.cape.services import CapeServices
    from gateway.certificates import CertificateFiles
    from gateway.enclave.fleet import Fleet
    from gateway.metrics import Metrics
    from gateway.policyfile import PolicyFile
    from gateway.ratelimits.limiter import RateLimiter
    from gateway.settings import Settings
    from gateway.tokens import TokenStore


_NO_SIGNUP = (
    "Making an account takes a signup token: `Authorization: Bearer bs_…`, `cape signup --api-token`."
    " The operator makes one and names its file in BLINDSIGHT_SIGNUP_TOKENS_FILE."
)


class Authenticator:
    """Checks API tokens."""

    def __init__(self, tokens: TokenStore | None, metrics: Metrics) -> None:
        self._tokens = tokens
        self._metrics = metrics

    def authenticate(self, request: Request) -> None:
        """Require an API token if any are configured. Raises `Problem` (`unauthenticated`)."""
        if self._tokens is not None and token_name(request, self._tokens) is None:
            self._metrics.rejected.labels("unauthenticated").inc()
            raise Problem("unauthenticated", "Send an API token: `Authorization: Bearer bs_…`.")


class SignupAuthenticator:
    """Checks the tokens for creating accounts. Without configured tokens no account can be created, because accounts
    can run code.
    """

    def __init__(self, tokens: TokenStore | None, metrics: Metrics) -> None:
        self._tokens = tokens
        self._metrics = metrics

    def authenticate(self, request: Request) -> None:
        """Require one of the tokens. Raises `Problem` (`unauthenticated`)."""
        name = token_name(request, self._tokens) if self._tokens is not None else None
        if name is None:
            self._metrics.rejected.labels("unauthenticated").inc()
            raise Problem("unauthenticated", _NO_SIGNUP)
        request.state.token_name = name  # For the audit log.


def token_name(connection: HTTPConnection, tokens: TokenStore) -> str | None:
    """The name of the request's API token; None without a valid one."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return tokens.name_of(token.strip()) if scheme.lower() == "bearer" else None


@dataclass(frozen=True)
class Services:
    """The services of a running gateway."""

    settings: Settings
    metrics: Metrics
    tokens: TokenStore | None
    admission: Admission
    evidence_places: Places
    """Limits requests to the enclave that any caller can make."""
    audit: Audit
    fleet: Fleet
    policy_file: PolicyFile
    certificates: CertificateFiles | None
    """Those of the HTTPS port, if there is one."""
    cape: CapeServices | None
    authenticate: Callable[[Request], None]
    """Require an API token if any are configured. Raises `Problem` (`unauthenticated`)."""
    limiter: RateLimiter | None = None
    """The limits of callers, if any are set."""


def services_of(request: Request) -> Services:
    """The services of the application that `request` came to."""
    return cast("Services", request.app.state.services)


@contextlib.asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` as a task while the block lasts; cancel it at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
