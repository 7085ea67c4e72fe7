"""Refusal of requests before any other processing, while no place is free."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.requests import Request

from blindsight.problems import Problem
from gateway import errors
from gateway.rootpath import root_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from gateway.admission import Admission

_log = logging.getLogger("gateway.request")

GUARDED: Final = frozenset({"/classify", "/classify/batch", "/ohttp"})
"""Paths whose `POST` requests need a place."""

FREQUENT: Final = ("overloaded", "rate_limited", "quota_exceeded")
"""Codes of refusals that can be many, and must cost little."""
LINES: Final = 5
"""Log lines for refusals in a window; the others are counted in one line at its end."""
WINDOW_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Route:
    """The attributes of a route that the middleware records."""

    path: str


class EarlyRefusal:
    """Refuses, before the application runs, requests that would get no place, with `overloaded`.

    The answer equals the route's own. Routing and FastAPI's processing would be most of the cost of a refusal.
    """

    def __init__(self, app: ASGIApp, admission: Admission, authenticate: Callable[[Request], None]) -> None:
        self._app = app
        self._admission = admission
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        guarded = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in GUARDED
        if not guarded or not self._admission.full:
            await self._app(scope, receive, send)
            return
        scope["route"] = Route(scope["path"])
        state = scope["state"]
        try:
            self._authenticate(Request(scope))
            self._admission.check()
            problem = self._admission.refusal()
        except Problem as refusal:
            problem = refusal
        state["problem_code"] = problem.kind.code
        await errors.response(problem, state["request_id"], root_of(scope))(scope, receive, send)


class RefusalLog:
    """Limits the number of log lines while many requests are refused with `code`."""

    def __init__(self, code: str = "overloaded") -> None:
        self._code = code
        self._seen = 0

    def may_tell(self) -> bool:
        """Whether this refusal gets a log line of its own."""
        self._seen += 1
        if self._seen == 1:
            asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._sum_up)
        return self._seen <= LINES

    def _sum_up(self) -> None:
        untold, self._seen = self._seen - LINES, 0
        if untold > 0:
            _log.warning("more were refused", extra={"code": self._code, "count": untold})
