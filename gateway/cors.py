"""Which of the gateway's resources a page of another origin may use, above all the single file opened from disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.requests import Request

from gateway.api.sealed import is_sealed

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SEALED: Final = frozenset({"/ohttp", "/classify"})
"""Where callers' own sealed messages are passed on."""

SHARED: Final = frozenset({"/attestation", "/.well-known/ohttp-gateway", "/ohttp"})
"""The sealed lane. What is sealed is no page's to misuse, and nothing here goes by cookies or other credentials of a
browser's."""

_ANY_ORIGIN = [(b"access-control-allow-origin", b"*"), (b"cross-origin-resource-policy", b"cross-origin")]
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"600"),
]


class SharedWithPages:
    """Adds the headers of the Fetch standard's CORS protocol to `SHARED`, and answers its preflight requests there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in SHARED:
            await self._app(scope, receive, send)
            return

        async def shared(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [header for header in message["headers"] if header[0] != b"cross-origin-resource-policy"]
                message["headers"] = [*own, *_ANY_ORIGIN]
            await send(message)

        if scope["method"] == "OPTIONS" and _asks_beforehand(scope):
            await shared({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT})
            await shared({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, shared)


def is_open_to_all_pages(scope: Scope) -> bool:
    """Whether this request, which changes something, is a sealed message for the enclave."""
    return scope["path"] in SEALED and is_sealed(Request(scope))


def _asks_beforehand(scope: Scope) -> bool:
    return any(name == b"access-control-request-method" for name, _ in scope["headers"])
