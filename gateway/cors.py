"""CORS: which resources pages of other origins can use, and what they can read of the answers.

The operator's listed origins can use everything; any origin can use the sealed lane, as the single-file page opened
from disk does. The gateway uses no cookies or other browser credentials, so it never allows any (Fetch standard,
section 3.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.requests import Request

from gateway.api.sealed import is_sealed
from gateway.hosts import parse_origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SEALED: Final = frozenset({"/ohttp", "/classify"})
"""Paths that relay sealed messages of callers."""

SHARED: Final = frozenset({"/attestation", "/.well-known/ohttp-gateway", "/ohttp"})
"""The sealed lane. Pages of any origin can use it, because they gain nothing by it."""

_EXPOSED: Final = (
    b"access-control-expose-headers",
    b"accept-encoding, allow, ratelimit, ratelimit-policy, retry-after, www-authenticate, x-request-id",
)
"""Header fields that clients need besides the body; `Content-Type` and `Content-Length` are always readable."""
_PREFLIGHT: Final = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type, content-encoding, x-request-id"),
    (b"access-control-max-age", b"600"),
]
_BY_ORIGIN: Final = (b"vary", b"Origin")
"""For caches: the answer depends on the origin."""


class SharedWithPages:
    """Adds the header fields of the Fetch standard's CORS protocol, and answers preflight requests."""

    def __init__(self, app: ASGIApp, trusted: Iterable[str] = ()) -> None:
        """`trusted`: origins of other sites whose pages can use everything."""
        self._app = app
        self._trusted = {parse_origin(text) for text in trusted} - {None}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        allowed = b"*" if scope["path"] in SHARED else self._trusted_origin(scope)

        async def shared(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._headers(message["headers"], allowed, scope["path"])}
            await send(message)

        if allowed and scope["method"] == "OPTIONS" and _asks_beforehand(scope):
            await shared({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT})
            await shared({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, shared)

    def _trusted_origin(self, scope: Scope) -> bytes:
        """The page's origin, if it is listed; otherwise empty."""
        origins = Headers(scope=scope).getlist("origin")
        is_trusted = len(origins) == 1 and parse_origin(origins[0]) in self._trusted
        return origins[0].encode("latin-1") if is_trusted else b""

    def _headers(self, headers: Iterable[tuple[bytes, bytes]], allowed: bytes, path: str) -> list[tuple[bytes, bytes]]:
        given = list(headers)
        if self._trusted and path not in SHARED:
            given.append(_BY_ORIGIN)
        if not allowed:
            return given
        own = [header for header in given if header[0] != b"cross-origin-resource-policy"]
        return [
            *own,
            (b"access-control-allow-origin", allowed),
            (b"cross-origin-resource-policy", b"cross-origin"),
            _EXPOSED,
        ]


def is_open_to_all_pages(scope: Scope) -> bool:
    """Whether this state-changing request is a sealed message for the enclave."""
    return scope["path"] in SEALED and is_sealed(Request(scope))


def _asks_beforehand(scope: Scope) -> bool:
    return any(name == b"access-control-request-method" for name, _ in scope["headers"])
