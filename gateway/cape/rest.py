"""Cape's REST endpoints: accounts, their keys, functions and tokens."""

from __future__ import annotations

import binascii
import contextlib
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer

from blindsight import strict_base64
from blindsight.cape import ids, tokens
from blindsight.cape.constants import USERNAME
from blindsight.cape.messages import b64
from blindsight.errors import CapeError
from gateway.api import openapi
from gateway.cape import shapes
from gateway.cape.answers import CapeRoute, failures, moment, read_json, refusal, text_member
from gateway.cape.bearer import bearer_account, bearer_token
from gateway.cape.limits import count
from gateway.cape.services import cape_of
from gateway.cape.store import FunctionRow, TokenRow, unknown_account, unknown_function, unknown_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gateway.cape.services import CapeServices
    from gateway.cape.store import Account

_log = logging.getLogger("gateway.cape")

router = APIRouter(tags=["cape"], route_class=CapeRoute)

_BEARER: Final = [Depends(HTTPBearer(auto_error=False, scheme_name="cape", description="A token of scope `account`."))]
"""For the OpenAPI page; `bearer_account` is what looks at the token."""

_REFUSED: Final = ("token_invalid", "token_expired", "token_revoked", "forbidden")
_BUSY: Final = ("rate_limited", "overloaded", "enclave_unavailable")
_NO_TOKEN: Final = failures("token_invalid", "token_expired")[401]
# The signup token is the service's own, and so is the refusal; the proof is Cape's.
_NO_SIGNUP: Final = {
    **_NO_TOKEN,
    "content": {**_NO_TOKEN["content"], **openapi.problems("unauthenticated")[401]["content"]},
}
_MAX_NAME: Final = 100
_MAX_DESCRIPTION: Final = 1000
_EXPIRY_ROOM: Final = timedelta(seconds=1)
"""Tokens count whole seconds."""


@router.post(
    "/v1/accounts",
    status_code=201,
    response_model=shapes.AccountName,
    responses={
        **failures(
            "malformed_request", "bad_name", "forbidden", "name_taken", "too_large", "unsupported_media_type", *_BUSY
        ),
        401: _NO_SIGNUP,
    },
    openapi_extra=shapes.NEW_ACCOUNT,
    operation_id="createAccount",
    summary="Make an account",
)
async def create_account(request: Request) -> dict[str, str]:
    """Register a username for an Ed25519 key. Repeating the request with the same key changes nothing and gives the
    same answer.
    """
    cape = cape_of(request)
    cape.may_sign_up(request)
    await count(request)
    body = await read_json(request)
    username, proof = text_member(body, "username"), text_member(body, "proof")
    if not USERNAME.fullmatch(username):
        raise CapeError("bad_name", "a username is 1 to 39 letters, digits and dashes, with no dash at its ends")
    owner_public_key = _public_key(text_member(body, "owner_public_key"))
    # The enclave checks it, too. Making a key takes seconds: no caller may cause that without a valid proof.
    proven = tokens.verify(proof, owner_public_key)
    if proven.scope != "account" or proven.username != username:
        raise CapeError("forbidden", "the proof is not for this account")
    account = await cape.store.account(username)
    if account is None:
        sponsor = getattr(request.state, "token_name", None)
        async with cape.audit.act("account.created", actor=sponsor, subject=username, connection=request):
            record = await cape.enclave.create_account(username, owner_public_key, proof)
            account = await cape.store.add_account(username, owner_public_key, record)
            if account.owner_public_key != owner_public_key:
                raise _name_taken()  # At the same time by another.
            if account.record == record:
                await _commit(cape, record)
    if account.owner_public_key != owner_public_key:
        raise _name_taken()
    return {"username": account.username}


@router.delete(
    "/v1/account",
    response_model=shapes.Done,
    responses=failures(*_REFUSED, "overloaded"),
    dependencies=_BEARER,
    operation_id="deleteAccount",
    summary="Delete the account",
)
async def delete_account(request: Request) -> dict[str, str]:
    """Delete the account, its functions and its tokens."""
    cape = cape_of(request)
    _, account = await bearer_account(request, cape.store, "account")
    name = account.username
    async with cape.audit.act("account.deleted", actor=name, subject=name, connection=request):
        await _remove_bundles(cape, await cape.store.delete_account(name))
    return {}


@router.get(
    "/v1/user/{username}/key",
    response_model=shapes.UserKey,
    responses=failures("unknown_account", *_BUSY),
    operation_id="getUserKey",
    summary="An account's Cape Key",
)
async def user_key(request: Request, username: str) -> JSONResponse:
    """An attestation document whose user data contain the account's public key, for encrypting values for its
    functions.
    """
    cape = cape_of(request)
    try:
        await count(request)
        account = await cape.store.account(username) if USERNAME.fullmatch(username) else None
        if account is None:
            raise unknown_account()
        answer = JSONResponse({"attestation_document": b64(await cape.enclave.user_key(account.record))})
    except CapeError as error:
        answer = refusal(request, error)
    # Public, and asked for by pages of any origin.
    answer.headers["Access-Control-Allow-Origin"] = "*"
    return answer


@router.get(
    "/v1/functions",
    response_model=list[shapes.ListedFunction],
    responses=failures("malformed_request", *_REFUSED, "overloaded"),
    dependencies=_BEARER,
    operation_id="listFunctions",
    summary="The account's functions",
)
async def list_functions(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
) -> list[dict[str, Any]]:
    """The account's functions in the order of their deployment."""
    cape = cape_of(request)
    _, account = await bearer_account(request, cape.store, "account")
    return [_listed(function) for function in await cape.store.functions(account.username, limit, offset)]


@router.get(
    "/v1/functions/{function_id}",
    response_model=shapes.Function,
    responses=failures(*_REFUSED, "unknown_function", "overloaded"),
    dependencies=_BEARER,
    operation_id="getFunction",
    summary="One of the account's functions",
)
async def get_function(request: Request, function_id: str) -> dict[str, Any]:
    """A function of the caller. `location` runs the newest function of its name."""
    cape = cape_of(request)
    _, account = await bearer_account(request, cape.store, "account")
    function = await _own_function(cape, account, function_id)
    return {**_listed(function), "user_id": function.owner, "location": f"{function.owner}/{function.name}"}


@router.delete(
    "/v1/functions/{function_id}",
    response_model=shapes.Done,
    responses=failures(*_REFUSED, "unknown_function", "stale_record", *_BUSY),
    dependencies=_BEARER,
    operation_id="deleteFunction",
    summary="Delete a function",
)
async def delete_function(request: Request, function_id: str) -> dict[str, str]:
    """Delete a function; running calls are not stopped."""
    cape = cape_of(request)
    _, account = await bearer_account(request, cape.store, "account")
    await count(request, account.username)
    function = await _own_function(cape, account, function_id)
    token = bearer_token(request)
    deleted = cape.audit.act("function.deleted", actor=account.username, subject=function.id, connection=request)
    async with deleted:
        await _change(
            cape,
            account,
            lambda record: cape.enclave.delete_function(record, token, function.id),
            lambda record, version: cape.store.delete_function(function.id, record, version),
        )
        await _remove_bundles(cape, [function.id])
    return {}


@router.post(
    "/v1/token",
    status_code=201,
    response_model=shapes.Token,
    responses=failures("malformed_request", *_REFUSED, "too_large", "unsupported_media_type", "overloaded"),
    openapi_extra=shapes.NEW_TOKEN,
    dependencies=_BEARER,
    operation_id="registerToken",
    summary="Register a token",
)
async def create_token(request: Request) -> dict[str, str]:
    """Register a token that the owner's key signed, so that it can be listed and revoked. This service cannot sign
    tokens.
    """
    cape = cape_of(request)
    _, account = await bearer_account(request, cape.store, "account")
    body = await read_json(request)
    name, description = text_member(body, "name"), text_member(body, "description", default="")
    # What cannot be printed is of no use in a list, and NUL cannot be stored.
    if not name.strip() or not name.isprintable() or len(name) > _MAX_NAME:
        raise CapeError("malformed_request", "token names must be alphanumeric")
    if not description.replace("\n", "").isprintable() or len(description) > _MAX_DESCRIPTION:
        raise CapeError("malformed_request", f"a description is at most {_MAX_DESCRIPTION} printable characters")
    token = text_member(body, "token")
    proven = _registrable(token, account)
    function_id = text_member(body, "function_id", default="")
    if (proven.function_id or "") != function_id or (function_id and not ids.is_id(function_id)):
        raise CapeError("malformed_request", "the token is for another function than the request says")
    if not _same_expiry(proven.expires, body.get("expiry")):
        raise CapeError("malformed_request", "the token expires at another time than the request says")
    row = TokenRow(
        id=proven.id,
        owner=account.username,
        name=name,
        description=description,
        function_id=function_id or None,
        created_at=datetime.now(UTC),
        expires_at=proven.expires,
    )
    registered = cape.audit.act(
        "account_token.registered",
        actor=account.username,
        subject=proven.id,
        connection=request,
        details={"scope": proven.scope},
    )
    async with registered:
        await cape.store.add_token(row)
    return {"token": token}


@router.get(
    "/v1/tokens",
    response_model=list[shapes.ListedToken],
    responses=failures(*_REFUSED, "overloaded"),
    dependencies=_BEARER,
    operation_id="listTokens",
    summary="The account's tokens",
)
async def list_tokens(request: Request) -> list[dict[str, Any]]:
    """Registered tokens that are not revoked, oldest first."""
    cape = cape_of(request)
    _, account = await bearer_account(request, cape.store, "account")
    return [
        {
            "id": token.id,
            "name": token.name,
            "description": token.description,
            "function_id": token.function_id or "",
            "created_at": moment(token.created_at),
            "expiry": token.expires_at and moment(token.expires_at),
            "last_used": token.last_used_at and moment(token.last_used_at),
        }
        for token in await cape.store.tokens(account.username)
    ]


@router.delete(
    "/v1/token/{token_id}",
    response_model=shapes.Done,
    responses=failures(*_REFUSED, "unknown_token", "stale_record", *_BUSY),
    dependencies=_BEARER,
    operation_id="revokeToken",
    summary="Revoke a token",
)
async def delete_token(request: Request, token_id: str) -> dict[str, str]:
    """Revoke a token, with immediate effect."""
    cape = cape_of(request)
    _, account = await bearer_account(request, cape.store, "account")
    await count(request, account.username)
    found = await cape.store.token(token_id) if ids.is_id(token_id) else None
    if found is None or found.owner != account.username or found.revoked_at:
        raise unknown_token()
    token = bearer_token(request)
    async with cape.audit.act("account_token.revoked", actor=account.username, subject=found.id, connection=request):
        await _change(
            cape,
            account,
            lambda record: cape.enclave.revoke_token(record, token, found.id, found.expires_at),
            lambda record, version: cape.store.revoke_token(found.id, record, version),
        )
    return {}


def _name_taken() -> CapeError:
    return CapeError("name_taken", "this username is taken")


async def _own_function(cape: CapeServices, account: Account, function_id: str) -> FunctionRow:
    found = await cape.store.function(function_id) if ids.is_id(function_id) else None
    if found is None or found.owner != account.username:
        raise unknown_function()
    return found


async def _change(
    cape: CapeServices,
    account: Account,
    ask: Callable[[bytes], Awaitable[bytes]],
    keep: Callable[[bytes, int], Awaitable[None]],
) -> None:
    """Let the enclave create the account's next record, and store it; once more if another change interfered."""
    try:
        record = await ask(account.record)
        await keep(record, account.version)
    except CapeError as error:
        if error.code != "stale_record":
            raise
        fresh = await cape.store.account(account.username)
        if fresh is None:
            raise unknown_account() from error
        record = await ask(fresh.record)
        await keep(record, fresh.version)
    await _commit(cape, record)


async def _commit(cape: CapeServices, record: bytes) -> None:
    """Inform the enclave of a stored record. The request has succeeded even if the enclave is unreachable."""
    try:
        await cape.enclave.commit(record)
    except CapeError as error:
        _log.warning("enclave not told of a stored record", extra={"code": error.code})


async def _remove_bundles(cape: CapeServices, function_ids: Iterable[str]) -> None:
    # The functions are gone already; what stays of them is swept later. A bucket that stands still is waited for once.
    with contextlib.suppress(CapeError):
        for function_id in function_ids:
            await cape.bundles.delete(function_id)


def _registrable(token: str, account: Account) -> tokens.Token:
    """The claims of a token to register. Errors are about the body: a 401 would refer to the caller's own token."""
    try:
        proven = tokens.verify(token, account.owner_public_key)
    except CapeError as error:
        raise CapeError("malformed_request", "the token to register is not valid") from error
    # One to deploy is used up by that; kept longer, it is a permission for the classifier, to be seen and revoked.
    registrable = proven.scope == "run" or (proven.scope == "deploy" and proven.expires is not None)
    if not registrable or proven.username != account.username:
        raise CapeError("malformed_request", "the token to register does not run this account's functions")
    return proven


def _same_expiry(expires: datetime | None, told: object) -> bool:
    if not told or expires is None:
        return not told and expires is None
    try:
        moment_told = datetime.fromisoformat(told) if isinstance(told, str) else None
    except ValueError:
        return False
    return moment_told is not None and moment_told.tzinfo is not None and abs(moment_told - expires) <= _EXPIRY_ROOM


def _public_key(text: str) -> bytes:
    try:
        key = strict_base64.decode(text)
    except binascii.Error as error:
        raise CapeError("malformed_request", "the owner's public key is not base64") from error
    if len(key) != 32:
        raise CapeError("malformed_request", "the owner's public key is not 32 bytes")
    return key


def _listed(function: FunctionRow) -> dict[str, Any]:
    return {
        "id": function.id,
        "name": function.name,
        "created_at": moment(function.created_at),
        "public": function.public,
        "checksum": function.checksum.hex(),
        "size": function.size,
    }
