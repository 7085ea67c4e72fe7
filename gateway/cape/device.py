"""Device logins (RFC 8628): the holder of the owner key approves a device's code with tokens for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from blindsight.cape import tokens
from blindsight.cape.constants import USERNAME
from blindsight.errors import CapeError
from gateway.cape import examples, shapes
from gateway.cape.answers import CapeRoute, failures, moment, read_body, read_json, text_member
from gateway.cape.bearer import bearer_account
from gateway.cape.device_codes import INTERVAL, LIFETIME, Device, unknown_code
from gateway.cape.services import cape_of
from gateway.cape.store import TokenRow, unknown_account
from gateway.rootpath import link

if TYPE_CHECKING:
    from starlette.types import Message

    from blindsight.cape.tokens import Scope, Token
    from gateway.cape.device_codes import CodeRow
    from gateway.cape.services import CapeServices
    from gateway.cape.store import Account, Store

router = APIRouter(tags=["cape"], route_class=CapeRoute)

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:device_code"

_ERRORS: Final = {
    "unknown": "invalid_grant",
    "slow_down": "slow_down",
    "pending": "authorization_pending",
    "denied": "access_denied",
    "expired": "expired_token",
}
_DEVICE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
"""Names that a device can have: they are shown to people and must not carry messages."""


@router.post(
    "/oauth/device/code",
    response_model=shapes.DeviceCode,
    responses=failures("malformed_request", "unknown_account", "too_large", "overloaded"),
    openapi_extra=shapes.DEVICE_CODE,
    operation_id="requestDeviceCode",
    summary="Begin to log in on a device",
)
async def device_code(request: Request) -> dict[str, Any]:
    """A code for the device, and one for its user. The client's identity does not matter: the owner key decides.

    With `login_hint`, only that account can approve.
    """
    form = await _form(request)
    if form is None:
        raise CapeError("malformed_request", "the body is not a form")
    cape = cape_of(request)
    new = await cape.store.device_codes.create(await _device(request, dict(form), cape.store))
    page = link(request, "/device")
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
    response_model=shapes.DeviceTokens,
    responses={
        400: {
            "model": shapes.DeviceFailure,
            "description": "Not yet, or never; RFC 8628, 3.5.",
            "content": {"application/json": {"examples": examples.PENDING}},
        },
        **failures("too_large", "overloaded"),
    },
    openapi_extra=shapes.DEVICE_TOKEN,
    operation_id="pollDeviceLogin",
    summary="Ask whether the login was approved",
)
async def device_token(request: Request) -> JSONResponse:
    """The device's tokens, once; before the decision, the reason why there are none."""
    form = await _form(request) or []
    grant_types = [value for name, value in form if name == "grant_type"]
    codes = [value for name, value in form if name == "device_code"]
    if len(grant_types) != 1 or len(codes) > 1:
        return _refused("invalid_request", "the body is not a form with one grant_type and one device_code")
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
    response_model=shapes.Done,
    responses=failures(
        "malformed_request", "token_invalid", "token_expired", "token_revoked", "forbidden", "unknown_code",
        "too_many_guesses", "too_large", "unsupported_media_type", "overloaded",
    ),
    openapi_extra=shapes.DEVICE_DECISION,
    dependencies=[Depends(HTTPBearer(auto_error=False, scheme_name="cape"))],
    operation_id="decideDeviceLogin",
    summary="Approve or deny a login on a device",
)  # fmt: skip
async def device_decision(request: Request) -> dict[str, str]:
    """The owner decides, with a token of the same account; each code can be decided once.

    An approved login is listed among the account's tokens. If the login names an account, only that account can decide.
    """
    cape = cape_of(request)
    _, account = await bearer_account(request, cape.store, "account")
    body = await read_json(request)
    user_code, allow = text_member(body, "user_code"), body.get("allow")
    if not isinstance(allow, bool):
        raise CapeError("malformed_request", "the member 'allow' is missing or not true or false")
    if not allow:
        # Around the act: what it refuses unseen is none, and would fill the audit log.
        with cape.guesses.attempt(_guesser(account)):
            async with cape.audit.act("device_login.denied", actor=account.username, connection=request):
                await cape.store.device_codes.decide(user_code, allow=False, account=account.username)
        return {}
    access_token = text_member(body, "access_token")
    id_token = text_member(body, "id_token", default=access_token)
    login = _login_token(access_token, account)
    if _login_token(id_token, account, "run", "account").id != login.id:
        raise CapeError("malformed_request", "the id_token has another id, by which it could not be revoked")
    approved = cape.audit.act("device_login.approved", actor=account.username, subject=login.id, connection=request)
    with cape.guesses.attempt(_guesser(account)):
        async with approved:
            waiting = await _waiting(cape, user_code, account)
            await cape.store.device_codes.decide(
                user_code,
                allow=True,
                account=account.username,
                access_token=access_token,
                id_token=id_token,
                listed=TokenRow(
                    id=login.id,
                    owner=account.username,
                    name=waiting.device.name or "device",
                    description=f"login of a device at {waiting.device.address or 'an unknown address'}",
                    function_id=None,
                    created_at=datetime.now(UTC),
                    expires_at=login.expires,
                ),
            )
    return {}


@router.get(
    "/oauth/device/login",
    response_model=shapes.WaitingDevice,
    responses=failures(
        "token_invalid", "token_expired", "token_revoked", "forbidden", "unknown_code", "too_many_guesses", "overloaded"
    ),
    dependencies=[Depends(HTTPBearer(auto_error=False, scheme_name="cape"))],
    operation_id="getDeviceLogin",
    summary="Which device waits to be let in",
)
async def waiting_device(request: Request) -> dict[str, Any]:
    """The information about the device that the owner sees before deciding about the query's `user_code`."""
    cape = cape_of(request)
    _, account = await bearer_account(request, cape.store, "account")
    with cape.guesses.attempt(_guesser(account)):
        row = await _waiting(cape, request.query_params.get("user_code", ""), account)
    return {
        "user_code": row.user_code,
        "created_at": moment(row.created_at.replace(microsecond=0)),
        "device_name": row.device.name,
        "address": row.device.address,
        "account": row.device.account,
    }


def _guesser(account: Account) -> str:
    return f"account {account.username}"


async def _waiting(cape: CapeServices, user_code: str, account: Account) -> CodeRow:
    """The login that waits with this code for `account`, or for any account. Raises `CapeError` (`unknown_code`)."""
    row = await cape.store.device_codes.by_user_code(user_code)
    if row is None or row.status != "pending" or row.device.account not in {None, account.username}:
        raise unknown_code()
    return row


async def _device(request: Request, form: dict[str, str], store: Store) -> Device:
    """The requesting device. Raises `CapeError` (`unknown_account`)."""
    name, hint = form.get("device_name", ""), form.get("login_hint", "")
    account = await store.account(hint) if hint and USERNAME.fullmatch(hint) else None
    if hint and account is None:
        raise unknown_account()
    return Device(
        name=name if _DEVICE_NAME.fullmatch(name) else None,
        address=request.client.host[:64] if request.client else None,
        account=account.username if account else None,
    )


def _login_token(token: str, account: Account, *scopes: Scope) -> Token:
    """The verified claims of `token`, which must belong to this account and have scope `account`, or one of `scopes`.

    Errors are about the body: a 401 would refer to the caller's own token.
    """
    try:
        proven = tokens.verify(token, account.owner_public_key)
    except CapeError as error:
        raise CapeError("malformed_request", "the token to hand out is not valid") from error
    if proven.scope not in (scopes or ("account",)) or proven.username != account.username:
        raise CapeError("malformed_request", "the token to hand out is not for this account")
    return proven


def _refused(error: str, description: str | None = None) -> JSONResponse:
    content = {"error": error} if description is None else {"error": error, "error_description": description}
    return JSONResponse(content, 400)


async def _form(request: Request) -> list[tuple[str, str]] | None:
    """The form's texts; None if it is malformed or contains a file. Raises `CapeError` (`too_large`)."""
    body = await read_body(request)

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    # Read before it is parsed: the parser bounds a part, not the whole.
    try:
        async with Request(request.scope, replay).form(max_files=0, max_fields=32) as form:
            return [(name, value) for name, value in form.multi_items() if not isinstance(value, UploadFile)]
    except (HTTPException, ValueError, KeyError):
        return None
