"""Pure ASGI middleware: the server span of each request and each WebSocket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.tracing import allowed, current
from gateway.tracing.traceparent import remote_parent

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.tracing.current import Tracer

_SWITCHING = 101


class ServerSpans:
    """Begins a span for each request, in the caller's trace if `traceparent` names one."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        # A handshake of HTTP/1.1 is a GET (RFC 6455, section 4.1).
        given = scope.get("method", "GET")
        method = given if given in allowed.METHODS else "_OTHER"
        scope.setdefault("state", {})
        status: int | None = None

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = _SWITCHING
            await send(message)

        begun = self._tracer.begin(method, kind="server", parent=remote_parent(scope["headers"]))
        with current.entered(begun) as span:
            span.set(allowed.METHOD, method)
            try:
                await self._app(scope, receive, answer)
            finally:
                route = getattr(scope.get("route"), "path", None)
                if route is not None:
                    span.set(allowed.ROUTE, route)
                    span.rename(f"{method} {route}")
                if status is not None:
                    span.set(allowed.STATUS, status)
                code = scope["state"].get("problem_code") or (allowed.GONE if status is None else None)
                if code is not None:
                    # A refusal is no failure of the server (semantic conventions for HTTP spans, "Status").
                    span.fail(code, ours=status is not None and status >= 500)
