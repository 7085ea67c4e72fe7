"""`HEAD` for every route with `GET` (RFC 9110, section 9.3.2): the same answer without the content."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Calls the application with `GET`, drops the content, and lists both methods in `Allow`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                message = {**message, "headers": [_with_head(*header) for header in message["headers"]]}
            elif message["type"] == "http.response.body" and is_head:
                message = {**message, "body": b""}
            await send(message)

        if not is_head:
            await self._app(scope, receive, answer)
            return
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, answer)
        finally:
            # What is recorded of the request is the route, which routing notes in its scope.
            scope.update({name: asked[name] for name in ("route",) if name in asked})


def _with_head(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if name.lower() != b"allow":
        return name, value
    methods = {method.strip() for method in value.split(b",")}
    return name, b", ".join(sorted(methods | {b"HEAD"} if b"GET" in methods else methods))
