"""Protection against cross-site requests: only the gateway's own pages, and trusted origins, can change state or open
WebSockets.

Browsers state a request's origin in fields that pages cannot change: `Sec-Fetch-Site` (W3C Fetch Metadata) or, where
that is missing, `Origin` (Fetch standard, section 3.2). A request with neither does not come from a browser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

from blindsight.problems import Problem
from gateway import cors, errors
from gateway.hosts import origin_of, parse_host, parse_origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from gateway.metrics import Metrics

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""These methods change no state, and a foreign page cannot read their answers."""
_OWN_SITES: Final = frozenset({"same-origin", "none"})
"""`none` is a user action, such as a typed address or a bookmark. `same-site` is another port or subdomain, which is
foreign."""


class OwnPagesOnly:
    """Refuses foreign pages' WebSockets and state-changing requests with `cross_origin`, except in the sealed lane."""

    def __init__(self, app: ASGIApp, trusted: Iterable[str], metrics: Metrics) -> None:
        """`trusted`: origins of other sites."""
        self._app = app
        self._metrics = metrics
        self._trusted = {parse_origin(text) for text in trusted} - {None}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_foreign(scope):
            await self._app(scope, receive, send)
            return
        self._metrics.rejected.labels("cross_origin").inc()
        problem = Problem(
            "cross_origin", "A page of another origin may not do this. The operator sets BLINDSIGHT_ORIGINS."
        )
        await errors.refuse(problem, scope, receive, send)

    def _is_foreign(self, scope: Scope) -> bool:
        if scope["type"] == "lifespan":
            return False
        if scope["type"] == "http" and (scope["method"] in _SAFE or cors.is_open_to_all_pages(scope)):
            return False
        headers = Headers(scope=scope)
        sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
        if len(origins) == 1 and parse_origin(origins[0]) in self._trusted:
            return False
        if sites:
            return not _OWN_SITES.issuperset(sites)
        return bool(origins) and not (
            len(origins) == 1 and _is_own(origins[0], headers.get("host", ""), scope["scheme"])
        )


def _is_own(text: str, asked: str, scheme: str) -> bool:
    """Whether the origin `text` belongs to the requested host."""
    origin, host = parse_origin(text), parse_host(asked)
    if origin is None or host is None:
        return False
    # A secure page before a plain listener is a proxy's that speaks TLS. The reverse would be a page that was changed.
    return origin == origin_of(origin[0], host) and (origin[0] == "https" or scheme not in {"https", "wss"})
