"""Tokens: JWTs (RFC 7519) that an account's owner key signs (EdDSA, RFC 8037). No other party can create one.

The `scope` determines what a token permits:

- `run`: run functions; all of the owner's and public ones of others, or only `function_id`. A personal access token.
- `account`: `run`, and list, delete and revoke objects of the account. `cape login` stores such a token.
- `deploy`: deploy the single bundle whose checksum, name and visibility it states, for a short time. `cape` creates one
  for each deployment, so that a host cannot deploy its own code with tokens that it has seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindsight.cape import ids
from blindsight.cape.constants import TOKEN_EXPIRED, USERNAME
from blindsight.errors import CapeError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Scope = Literal["run", "account", "deploy"]

USERNAME_CLAIM: Final = "https://capeprivacy.com/username"
"""Cape's command line reads the user's name from this claim."""

AUDIENCE: Final = "cape-api"
ISSUER: Final = "blindsight-owner"
DEPLOY_LIFETIME: Final = timedelta(hours=2)
"""Enough for the upload of a gigabyte over a slow line."""
LOGIN_LIFETIME: Final = timedelta(days=30)

_ALGORITHM: Final = "EdDSA"
_LEEWAY: Final = timedelta(minutes=1)
_REQUIRED: Final = ["sub", "jti", "iat", "aud", "iss", "scope"]
_SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")
MAX_TOKEN_CHARACTERS: Final = 4096


@dataclass(frozen=True)
class Token:
    """A token's claims. `function_id` limits a `run` token; `deploy` describes what a `deploy` token allows."""

    username: str
    id: str
    scope: Scope
    issued: datetime
    expires: datetime | None
    function_id: str | None = None
    claims: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def deploy(self) -> tuple[bytes, str, bool]:
        """SHA-256 of the bundle, name and public flag of a `deploy` token. Raises `CapeError` (`token_invalid`)."""
        match self.claims:
            case {"func_checksum": str() as checksum, "function_name": str() as name, "public": bool() as public} if (
                self.scope == "deploy" and _SHA256_HEX.fullmatch(checksum)
            ):
                return bytes.fromhex(checksum), name, public
        raise _invalid()


def mint(
    owner_key: Ed25519PrivateKey,
    username: str,
    scope: Scope,
    *,
    lifetime: timedelta | None,
    now: datetime | None = None,
    token_id: str | None = None,
    **claims: Any,  # noqa: ANN401 -- JSON
) -> str:
    """Sign a token, in characters that a WebSocket subprotocol can contain. `lifetime` None: it does not expire."""
    now = now or datetime.now(UTC)
    payload: dict[str, Any] = {
        "iss": ISSUER,
        "aud": [AUDIENCE],
        "sub": username,
        USERNAME_CLAIM: username,
        "nickname": username,
        "jti": token_id or ids.new(),
        "iat": int(now.timestamp()),
        "nbf": int(now.timestamp()),
        "scope": scope,
        **{name: value for name, value in claims.items() if value is not None},
    }
    if lifetime is not None:
        payload["exp"] = int((now + lifetime).timestamp())
    return jwt.encode(payload, owner_key, _ALGORITHM)


def peek(token: str) -> Token:
    """Parse the claims of `token` WITHOUT VERIFICATION, to find the account whose key verifies it. Raises
    `CapeError`.
    """
    return _decode(token, None, verify=False, now=None)


def verify(token: str, owner_public_key: bytes, *, now: datetime | None = None) -> Token:
    """Verify `token` with the owner's Ed25519 key (32 bytes raw) at the time `now`, and return its claims.

    Raises `CapeError` (`token_invalid`, `token_expired`).
    """
    return _decode(token, Ed25519PublicKey.from_public_bytes(owner_public_key), verify=True, now=now)


def _decode(token: str, key: Ed25519PublicKey | None, *, verify: bool, now: datetime | None) -> Token:
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise _invalid()
    try:
        claims = jwt.decode(
            token,
            key or "",
            algorithms=[_ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={
                "require": _REQUIRED,
                "verify_signature": verify,
                "verify_aud": verify,
                "verify_iss": verify,
                # Times are checked below, against the given clock.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
        raise _invalid() from error
    parsed = _parse(claims)
    if verify:
        now = now or datetime.now(UTC)
        if parsed.expires is not None and now >= parsed.expires:
            raise CapeError("token_expired", TOKEN_EXPIRED)
        if parsed.issued > now + _LEEWAY:
            raise _invalid()
    return parsed


def _parse(claims: dict[str, Any]) -> Token:
    match claims:
        case {"sub": str() as username, "jti": str() as token_id, "scope": str() as scope, "iat": int() as issued}:
            function_id, expires = claims.get("function_id"), claims.get("exp")
            well_formed = (
                USERNAME.fullmatch(username)
                and ids.is_id(token_id)
                and scope in get_args(Scope)
                and claims.get(USERNAME_CLAIM) == username
                and (function_id is None or isinstance(function_id, str))
                and (expires is None or isinstance(expires, int))
            )
            if well_formed:
                try:
                    return Token(
                        username=username,
                        id=token_id,
                        scope=cast("Scope", scope),
                        issued=datetime.fromtimestamp(issued, UTC),
                        expires=None if expires is None else datetime.fromtimestamp(expires, UTC),
                        function_id=function_id,
                        claims=claims,
                    )
                except (OverflowError, ValueError, OSError) as error:
                    raise _invalid() from error
    raise _invalid()


def _invalid() -> CapeError:
    return CapeError("token_invalid", "the token is not valid")
