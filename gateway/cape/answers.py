"""Request and response bodies of the Cape endpoints: small JSON objects, and errors in the form of Cape's clients."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC
from typing import TYPE_CHECKING, Any, ClassVar, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from blindsight import strict_json
from blindsight.errors import CapeError
from gateway import codings
from gateway.cape import examples
from gateway.cape.guesses import WINDOW_SECONDS
from gateway.errors import RETRY_AFTER_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from datetime import datetime

    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

MAX_BODY_BYTES: Final = 64 * 1024
BODY_SECONDS: Final = 30.0
"""Time within which a body must arrive."""
_MAX_TEXT_BYTES: Final = 400
"""Of an error message, which the answer contains twice: Cape's command line reads 1024 bytes of a refusal."""


class Failure(BaseModel):
    """An error, under both names that Cape's clients read."""

    error: str = Field(examples=["unauthorized: authentication required"])
    message: str = Field(description="The same.")


class CapeRoute(APIRoute):
    """A route whose refusals are Cape's JSON errors."""

    _methods: ClassVar[defaultdict[str, set[str]]] = defaultdict(set)
    """By path, of all such routes."""

    def __init__(self, path: str, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 -- the framework's
        super().__init__(path, *arguments, **options)
        self._methods[path] |= self.methods or set()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            # The framework would name this route's methods only, and not its neighbour's at the same path.
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(self._methods[self.path]))})
        await super().handle(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_refusals(request: Request) -> Response:
            try:
                return await handle(request)
            except CapeError as error:
                return refusal(request, error)
            except RequestValidationError:
                # Its text would quote the caller.
                return refusal(request, CapeError("malformed_request", "a parameter of the request is not valid"))

        return handle_refusals


def refusal(request: HTTPConnection, error: CapeError) -> JSONResponse:
    """The HTTP answer for `error`; logs its code."""
    request.state.problem_code = error.code
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.code == "too_many_guesses":
        headers["Retry-After"] = str(WINDOW_SECONDS)
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error.__cause__, codings.UnknownCodingError):
        headers["Accept-Encoding"] = codings.TAKEN
    if error.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    text = str(error).encode()[:_MAX_TEXT_BYTES].decode(errors="ignore")
    return JSONResponse({"error": text, "message": text}, error.status, headers)


def failures(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` entries of a route for the error `codes`."""
    by_status: dict[int | str, list[str]] = {}
    for code in codes:
        by_status.setdefault(CapeError(code, "").status, []).append(code)
    return {
        status: {
            "model": Failure,
            "description": ", ".join(f"`{code}`" for code in found),
            "content": {"application/json": {"examples": examples.refusals(found)}},
        }
        for status, found in sorted(by_status.items(), key=str)
    }


async def read_body(request: Request) -> bytes:
    """Read and decompress the body. Raises `CapeError`: `too_large`, `unsupported_media_type` for the coding,
    `malformed_request` if it does not arrive in time.
    """
    body = bytearray()
    try:
        coding = codings.coding_of(request.headers)
        pieces = codings.opened(_bounded(request.stream()), coding) if coding else request.stream()
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in pieces:
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
    except TimeoutError as error:
        raise CapeError("malformed_request", f"the body did not arrive within {BODY_SECONDS:g} s") from error
    except codings.UnknownCodingError as error:
        raise CapeError("unsupported_media_type", str(error)) from error
    except codings.BrokenCodingError as error:
        raise CapeError("malformed_request", str(error)) from error
    return bytes(body)


async def _bounded(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    read = 0
    async for chunk in chunks:
        read += len(chunk)
        if read > codings.room(MAX_BODY_BYTES):
            raise _too_large()
        yield chunk


def _too_large() -> CapeError:
    return CapeError("too_large", f"the body has more than {MAX_BODY_BYTES} bytes")


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object in the body. Raises `CapeError`."""
    _require_json(request)
    try:
        content = strict_json.loads(await read_body(request))
    except ValueError as error:
        raise CapeError("malformed_request", "the body is not JSON") from error
    if not isinstance(content, dict):
        raise CapeError("malformed_request", "the body is not a JSON object")
    return content


def _require_json(request: Request) -> None:
    """Refuse the media types of forms, which a browser sends for any page.

    Cape's own command line sends no type. A browser can do so for a page, but only with an `Origin`.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    unnamed = not media_type and "origin" not in request.headers and "sec-fetch-site" not in request.headers
    if media_type != "application/json" and not unnamed:
        raise CapeError("unsupported_media_type", "the body has to be application/json")


def text_member(body: dict[str, Any], name: str, *, default: str | None = None) -> str:
    """The text member `name` of `body`; if absent, `default`, if any. Raises `CapeError` (`malformed_request`)."""
    value = body.get(name, default)
    if not isinstance(value, str):
        raise CapeError("malformed_request", f"the member {name!r} is missing or not text")
    return value


def moment(value: datetime) -> str:
    """Format a time as RFC 3339, UTC."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
