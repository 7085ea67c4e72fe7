"""Harness for Cape's tokens (JWT, RFC 7519): arbitrary ones, and claims that the owner's key signs.

The first byte modulo 3 selects: 0, the rest is a token; 1, the rest is its claims (JSON); 2, header and claims,
separated by a line feed.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.cape import ids, tokens
from blindsight.errors import CapeError
from fuzz import mock_pki
from fuzz.target import Target

_OWNER = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"owner").digest())
_PUBLIC = _OWNER.public_key().public_bytes_raw()
_HEADER = b'{"alg":"EdDSA","typ":"JWT"}'
_ID = ids.encode(uuid.UUID(int=1 << 100, version=4))


def run(data: bytes) -> None:
    """Check that `peek` and `verify` find the same, and that only signed tokens are accepted."""
    mode, rest = (data[0] % 3, data[1:]) if data else (0, b"")
    header, claims = (_HEADER, rest)
    if mode == 2:
        header, _, claims = rest.partition(b"\n")
    token = _signed(header, claims) if mode else rest.decode("utf-8", errors="replace")
    try:
        peeked = tokens.peek(token)
    except CapeError as error:
        assert error.code == "token_invalid"
        peeked = None
    found = tokens.verify(token, _PUBLIC, now=mock_pki.NOW)
    assert found == peeked
    assert mode or found.id == _ID
    assert ids.is_id(found.id)
    assert found.expires is None or found.expires > mock_pki.NOW
    if found.scope == "deploy":
        checksum, _, public = found.deploy
        assert len(checksum) == 32
        assert isinstance(public, bool)


def _signed(header: bytes, claims: bytes) -> str:
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
    return (signed + b"." + base64.urlsafe_b64encode(_OWNER.sign(signed)).rstrip(b"=")).decode()


def seeds() -> dict[str, bytes]:
    """A token of each scope, claims, and headers."""
    found: dict[str, bytes] = {}
    scopes: dict[tokens.Scope, dict[str, Any]] = {
        "run": {"function_id": _ID},
        "account": {},
        "deploy": {"func_checksum": "0" * 64, "function_name": "n", "public": True},
    }
    for scope, claims in scopes.items():
        token = tokens.mint(
            _OWNER, "someone", scope, lifetime=tokens.DEPLOY_LIFETIME, now=mock_pki.NOW, token_id=_ID, **claims
        )
        payload = token.split(".")[1]
        found[scope] = b"\x00" + token.encode()
        found[f"{scope}-claims"] = b"\x01" + base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    headers = (
        b'{"alg":"none"}',
        b'{"alg":"EdDSA","crit":["x"],"x":1}',
        b'{"alg":"EdDSA","b64":false}',
        b'{"alg":["EdDSA"]}',
    )
    return found | {
        f"header-{at}": b"\x02" + header + b"\n" + found["run-claims"][1:] for at, header in enumerate(headers)
    }


TARGET = Target(
    run, (CapeError,), seeds, max_bytes=3000,
    words=(
        b'"aud"', b'"iss"', b'"exp"', b'"iat"', b'"nbf"', b'"jti"', b'"sub"', b'"scope"', b'"crit"', b'"b64"', b"NaN",
        b"1e999", b'"kid"', b"\\ud800",
    ),
)  # fmt: skip
