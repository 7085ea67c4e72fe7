"""RFC 9457 problem details for all refusals, including the framework's."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from blindsight.problems import MEDIA_TYPE, Problem
from gateway.rootpath import root_of

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

RETRY_AFTER_SECONDS = 1
"""Value of `Retry-After`, of each problem that may be retried: within this time a worker is replaced and a queue
advances."""

_CAPE_PATHS: Final = ("/v1/", "/oauth/")

_BY_STATUS = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "image_too_large"}


def response(problem: Problem, request_id: str, root: str = "") -> JSONResponse:
    """The HTTP response for `problem`; `root` is the path prefix of the gateway's links."""
    headers = {}
    if problem.retryable:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if problem.kind.status == 429:
        headers["Retry-After"] = str(problem.extra["retry_after"])
    if problem.kind.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if "accept_encoding" in problem.extra:
        headers["Accept-Encoding"] = problem.extra["accept_encoding"]  # RFC 9110, 15.5.16.
    body: dict[str, Any] = {**document(problem, root), "instance": f"urn:uuid:{request_id}"}
    return JSONResponse(body, problem.kind.status, headers, MEDIA_TYPE)


def document(problem: Problem, root: str) -> dict[str, Any]:
    """The members of `problem`; `type` refers to the gateway's page of problems."""
    body = problem.body()
    return {**body, "type": f"{root}{body['type']}"} if body["type"].startswith("/") else body


async def refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with `problem` from a middleware, as an HTTP response or as a refused WebSocket handshake.

    For Cape's routes the message is where Cape's clients look for it.
    """
    if scope["path"].startswith(_CAPE_PATHS):
        problem.extra = {**problem.extra, "error": problem.detail, "message": problem.detail}
    state = scope.setdefault("state", {})
    state["problem_code"] = problem.kind.code
    request_id = state.get("request_id") or str(uuid.uuid4())
    await response(problem, request_id, root_of(scope))(scope, receive, send)


def install(app: FastAPI) -> None:
    """Register the handlers. None of them repeats input of the caller."""

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)  # noqa: S101 -- registered for it below
        request.state.problem_code = error.kind.code
        return response(error, request.state.request_id, root_of(request.scope))

    async def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101 -- it is registered for these
        # FastAPI's own answer holds `input`: the caller's bytes. Where the fault lies is all that may be said.
        places = sorted({".".join(str(part) for part in entry["loc"][:2]) for entry in error.errors()})
        return await on_problem(request, Problem("invalid_parameter", f"Invalid: {', '.join(places)}."))

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 -- it is registered for these
        code = _BY_STATUS.get(error.status_code, "internal" if error.status_code >= 500 else "bad_request")
        text = f"See {root_of(request.scope)}/docs for what this service answers."
        answer = await on_problem(request, Problem(code, text))
        answer.headers.update(error.headers or {})
        return answer

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
