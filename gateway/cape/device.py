"""Logging in on another device (RFC 8628): whoever holds the owner key approves a device's code with tokens for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from blindsight.cape import tokens
from blindsight.cape.tokens import MAX_TOKEN_CHARACTERS
from blindsight.errors import CapeError
from gateway.cape import models
from gateway.cape.answers import CapeRoute, failures, read_body, read_json, text_member
from gateway.cape.bearer import bearer_account
from gateway.cape.device_codes import INTERVAL, LIFETIME
from gateway.cape.services import cape_of

if TYPE_CHECKING:
    from starlette.types import Message

    from gateway.cape.store import Account

router = APIRouter(tags=["cape"], route_class=CapeRoute)

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:device_code"

_ERRORS: Final = {
    "unknown": "invalid_grant",
    "slow_down": "slow_down",
    "pending": "authorization_pending",
    "denied": "access_denied",
    "expired": "expired_token",
}
_USER_CODE: Final = re.compile(r"[A-Z0-9-]{9}")
_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Approve a login</title></head>
<body><main><h1>Approve a login</h1>
<p>Somebody, you we hope, wants to log in on another device. This page cannot approve it: only the owner key can, which
never leaves the machine on which the account was made. On that machine, run</p>
<pre>cape login --approve {code}</pre>
<p>if the device shows the same code. If it was not you, do nothing: the code expires after ten minutes.</p>
</main></body></html>
"""


@router.post(
    "/oauth/device/code",
    response_model=models.DeviceCode,
    responses=failures("malformed_request", "too_large", "overloaded"),
    openapi_extra=models.DEVICE_CODE,
    summary="Begin to log in on a device",
)
async def device_code(request: Request) -> dict[str, Any]:
    """A code for the device, and one for its user. Who the client is does not matter: the owner key decides."""
    if await _form(request) is None:
        raise CapeError("malformed_request", "the body is not a form")
    new = await cape_of(request).store.device_codes.create()
    page = f"{request.base_url}device"
    return {
        "device_code": new.device_code,
        "user_code": new.user_code,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?{urlencode({'user_code': new.user_code})}",
        "expires_in": int(LIFETIME.total_seconds()),
        "interval": INTERVAL,
    }


@router.post(
    "/oauth/token",
    response_model=models.DeviceTokens,
    responses={
        400: {"model": models.DeviceFailure, "description": "Not yet, or never; RFC 8628, 3.5."},
        **failures("too_large", "overloaded"),
    },
    openapi_extra=models.DEVICE_TOKEN,
    summary="Ask whether the login was approved",
)
async def device_token(request: Request) -> JSONResponse:
    """The device's tokens, once; until then, why not."""
    form = await _form(request) or []
    grant_types = [value for name, value in form if name == "grant_type"]
    codes = [value for name, value in form if name == "device_code"]
    if len(grant_types) != 1 or len(codes) > 1:
        return _refused("invalid_request", "the body is no form with one grant_type and one device_code")
    if grant_types != [GRANT_TYPE]:
        return _refused("unsupported_grant_type", "only device codes are exchanged here")
    if not codes:
        return _refused("invalid_request", "the form has no device_code")
    poll = await cape_of(request).store.device_codes.poll(codes[0])
    if poll.state != "approved":
        return _refused(_ERRORS[poll.state])
    access_token = poll.access_token or ""
    answer: dict[str, Any] = {
        "access_token": access_token,
        "token_type": "Bearer",
        "id_token": poll.id_token or access_token,
    }
    expires = tokens.peek(access_token).expires
    if expires is not None:
        answer["expires_in"] = max(0, int((expires - datetime.now(UTC)).total_seconds()))
    return JSONResponse(answer)


@router.post(
    "/oauth/device/decision",
    response_model=models.Done,
    responses=failures(
        "malformed_request", "token_invalid", "token_expired", "token_revoked", "forbidden", "unknown_code",
        "too_large", "unsupported_media_type", "overloaded",
    ),
    openapi_extra=models.DEVICE_DECISION,
    dependencies=[Depends(HTTPBearer(auto_error=False, scheme_name="cape"))],
    summary="Approve or deny a login on a device",
)  # fmt: skip
async def device_decision(request: Request) -> dict[str, str]:
    """The owner decides, with a token of the same account; a code can be decided once."""
    cape = cape_of(request)
    _, account = await bearer_account(request, cape.store, "account")
    body = await read_json(request)
    user_code, allow = text_member(body, "user_code"), body.get("allow")
    if not isinstance(allow, bool):
        raise CapeError("malformed_request", "the member 'allow' is missing or not true or false")
    access_token = id_token = None
    if allow:
        access_token = _login_token(text_member(body, "access_token"), account)
        id_token = text_member(body, "id_token", default=access_token)
        if len(id_token) > MAX_TOKEN_CHARACTERS or not _JWT.fullmatch(id_token):
            raise CapeError("malformed_request", "the id_token is not a token")
    await cape.store.device_codes.decide(user_code, allow=allow, access_token=access_token, id_token=id_token)
    return {}


@router.get("/device", include_in_schema=False)
async def device_page(request: Request) -> HTMLResponse:
    """What to do with the code. It is shown only if it looks like one: this page repeats nobody's words."""
    code = request.query_params.get("user_code", "")
    return HTMLResponse(_PAGE.format(code=code if _USER_CODE.fullmatch(code) else "CODE"))


def _login_token(token: str, account: Account) -> str:
    """`token`, if it is one of scope `account` of this account. A 401 would be about the caller's own token."""
    try:
        proven = tokens.verify(token, account.owner_public_key)
    except CapeError as error:
        raise CapeError("malformed_request", "the access_token is not valid") from error
    if proven.scope != "account" or proven.username != account.username:
        raise CapeError("malformed_request", "the access_token is not for this account")
    return token


def _refused(error: str, description: str | None = None) -> JSONResponse:
    content = {"error": error} if description is None else {"error": error, "error_description": description}
    return JSONResponse(content, 400)


async def _form(request: Request) -> list[tuple[str, str]] | None:
    """The form's texts; None if it is malformed or has a file. Raises `CapeError` (`too_large`)."""
    body = await read_body(request)

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    # Read before it is parsed: the parser bounds a part, not the whole.
    try:
        async with Request(request.scope, replay).form(max_files=0, max_fields=32) as form:
            return [(name, value) for name, value in form.multi_items() if not isinstance(value, UploadFile)]
    except (HTTPException, ValueError, KeyError):
        return None
