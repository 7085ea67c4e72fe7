"""Authentication by Cape's tokens, checked against the store. The enclave checks them again, against its sealed
records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from blindsight.cape import tokens
from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from blindsight.cape.tokens import Scope, Token
    from gateway.cape.store import Account, Store

_SUFFICIENT: Final[Mapping[Scope, frozenset[Scope]]] = {
    "run": frozenset({"run", "account"}),
    "account": frozenset({"account"}),
    "deploy": frozenset({"deploy"}),
}
"""Scopes that permit each use: a token of scope `account` can run functions, too."""


def bearer_token(request: Request) -> str:
    """The token of `Authorization: Bearer …`. Raises `CapeError` (`token_invalid`)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthenticated()
    return token.strip()


async def bearer_account(request: Request, store: Store, scope: Scope) -> tuple[Token, Account]:
    """Verify the request's token; returns it and its account. Raises `CapeError` as `token_account` does."""
    return await token_account(bearer_token(request), store, scope)


async def token_account(token: str, store: Store, scope: Scope) -> tuple[Token, Account]:
    """Verify `token`; returns its claims and its account.

    Raises `CapeError`: `token_invalid`, also for an unknown account, `token_expired`, `token_revoked`, and `forbidden`
    if the token is not for `scope`.
    """
    if not token:
        raise unauthenticated()
    account = await store.account(tokens.peek(token).username)
    if account is None:
        raise CapeError("token_invalid", "the token is not valid")
    proven = tokens.verify(token, account.owner_public_key)
    registered = await store.token(proven.id)
    # Ids are chosen by the signer: another account's entry says nothing of this token.
    if registered and registered.owner == account.username and registered.revoked_at:
        raise CapeError("token_revoked", "the token was revoked")
    if proven.scope not in _SUFFICIENT[scope]:
        raise CapeError("forbidden", "this token is not for that; log in with `cape login`")
    return proven, account


def unauthenticated() -> CapeError:
    """The text is Cape's."""
    return CapeError("token_invalid", "unauthorized: authentication required")
