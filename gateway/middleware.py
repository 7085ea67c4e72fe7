"""Pure ASGI middleware: request ids, security headers, one log line and two metrics for each request."""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import ClientDisconnect

from blindsight.problems import Problem
from gateway import errors
from gateway.early import FREQUENT, RefusalLog
from gateway.listener import one_slash
from gateway.rootpath import root_of

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.metrics import Metrics

_log = logging.getLogger("gateway.request")

_QUIET = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""Probes: measured, but not logged while they succeed."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Other methods share a label, so that callers cannot create time series or choose text of log lines."""

_CONTENT_SECURITY_POLICY = (
    b"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none';"
    b" base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Allows no third-party resources. Swagger UI sets inline styles."""

SECURITY_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", _CONTENT_SECURITY_POLICY),
]


_CALLER_GONE = 499
"""Recorded if the caller disconnected before an answer; nginx's number for this case."""


class OneSlash:
    """Treats `//v1/…` as `/v1/…`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and "//" in scope["path"]:
            scope = {**scope, "path": one_slash(scope["path"])}
        await self._app(scope, receive, send)


class RequestMiddleware:
    """Assigns each request an id (the caller's, if `X-Request-Id` is a UUID), and records its outcome.

    It also answers for internal errors: Starlette would do so without id and security headers.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._refusals = {code: RefusalLog(code) for code in FREQUENT}
        self._kept: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        """Instruments by method, route and status: as many as there are sets of labels."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            scope.setdefault("state", {})["request_id"] = _request_id(scope)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = _request_id(scope)
        status = 500
        answering = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, answering
            if message["type"] == "http.response.start":
                status, answering = message["status"], True
                # For the connection, which holds up callers that come back too early or too often.
                if state.get("problem_code") == "overloaded":
                    state["retry_after"] = errors.RETRY_AFTER_SECONDS
                state["denied"] = state.get("problem_code") == "unauthenticated"
                no_store = [(b"cache-control", b"no-store")] if scope["method"] == "POST" else []
                given = message.get("headers", [])
                stricter = {name for name, _ in given if name == b"content-security-policy"}
                message["headers"] = [
                    *given,
                    *(header for header in SECURITY_HEADERS if header[0] not in stricter),
                    *no_store,
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        started = time.perf_counter()
        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = _CALLER_GONE
        except Exception as error:
            _log.error("unexpected exception", exc_info=error, extra={"request_id": request_id})
            if answering:
                raise  # Only cutting the answer short can still tell the caller.
            state["problem_code"] = "internal"
            problem = Problem("internal", "This is our fault; the request id names it in our logs.")
            await errors.response(problem, request_id, root_of(scope))(scope, receive, send_with_headers)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _instruments(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        """The instruments of one set of labels, kept because their lookup takes longer than counting."""
        labels = method, route, status
        if (found := self._kept.get(labels)) is None:
            found = self._metrics.requests.labels(*labels), self._metrics.request_seconds.labels(route)
            self._kept[labels] = found
        return found

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        count, duration = self._instruments(method, route, status)
        count.inc()
        duration.observe(seconds)
        code = scope["state"].get("problem_code")
        if code in self._refusals and not self._refusals[code].may_tell():
            return
        if route in _QUIET and status < 500:
            return
        extra: dict[str, Any] = {
            "request_id": scope["state"]["request_id"],
            "method": method,
            "route": route,
            "status": status,
            "seconds": round(seconds, 4),
        }
        if code is not None:
            extra["code"] = code
        _log.info("answered", extra=extra)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            try:
                return str(uuid.UUID(value.decode("ascii")))
            except ValueError:
                break  # Anything but a UUID could smuggle content into logs.
    return str(uuid.uuid4())
