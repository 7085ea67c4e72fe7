"""Refuses requests above a limit before the application runs, and adds the header fields to all answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.requests import Request

from blindsight.problems import Problem
from gateway import errors
from gateway.allowance import KEY, count
from gateway.early import GUARDED, Route
from gateway.rootpath import root_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.ratelimits.limiter import Allowance, RateLimiter

_STARTS: Final = frozenset({"http.response.start", "websocket.http.response.start"})


class RateLimited:
    """The routes count requests themselves, too, unless this middleware has; routing is most of a refusal's cost."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter, authenticate: Callable[[Request], None]) -> None:
        self._app = app
        self._limiter = limiter
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def send_with_fields(message: Message) -> None:
            allowance: Allowance | None = state.get(KEY)
            if allowance is not None and message["type"] in _STARTS:
                message = {**message, "headers": [*message.get("headers", []), *allowance.fields()]}
            await send(message)

        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in GUARDED:
            try:
                # A caller without a valid token uses up no limit: the count below is of callers with one.
                self._authenticate(Request(scope))
                await count(Request(scope), self._limiter)
            except Problem as problem:
                scope["route"] = Route(scope["path"])
                state["problem_code"] = problem.kind.code
                await errors.response(problem, state["request_id"], root_of(scope))(scope, receive, send_with_fields)
                return
        await self._app(scope, receive, send_with_fields)
