"""Tokens: what the owner signs passes, and nothing else."""

from __future__ import annotations

import base64
import hmac
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.cape import ids, tokens
from blindsight.errors import CapeError

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
KEY, OTHER_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
HOUR = timedelta(hours=1)


def mint(scope: tokens.Scope = "run", **options: Any) -> str:
    return tokens.mint(KEY, "ada", scope, **({"lifetime": HOUR, "now": NOW} | options))


def claims(**changes: Any) -> dict[str, Any]:
    found = jwt.decode(mint(), options={"verify_signature": False}) | changes
    return {name: value for name, value in found.items() if value is not ...}


def b64(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refused(token: str, code: str = "token_invalid", now: datetime = NOW) -> None:
    with pytest.raises(CapeError) as caught:
        tokens.verify(token, PUBLIC, now=now)
    assert (caught.value.code, caught.value.status) == (code, 401)


def test_a_token_says_who_and_what_for() -> None:
    token = tokens.verify(mint(token_id="E7LiYKk4eSkEKAddXneVrX", function_id="f"), PUBLIC, now=NOW)
    assert (token.username, token.scope, token.function_id) == ("ada", "run", "f")
    assert (token.id, token.issued, token.expires) == ("E7LiYKk4eSkEKAddXneVrX", NOW, NOW + HOUR)
    assert token.claims["nickname"] == token.claims["https://capeprivacy.com/username"] == "ada"
    assert token.claims["aud"] == ["cape-api"]


def test_without_a_lifetime_it_does_not_expire() -> None:
    assert tokens.verify(mint(lifetime=None), PUBLIC, now=NOW + 10_000 * HOUR).expires is None


def test_every_token_has_an_id_of_its_own() -> None:
    made = {tokens.peek(mint()).id for _ in range(20)}
    assert len(made) == 20
    assert all(map(ids.is_id, made))


def test_it_travels_as_a_subprotocol() -> None:
    token = mint(function_id="E7LiYKk4eSkEKAddXneVrX")
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", token)
    assert len(token) < tokens.MAX_TOKEN_CHARACTERS


def test_peek_proves_nothing() -> None:
    assert tokens.peek(tokens.mint(OTHER_KEY, "ada", "run", lifetime=None)).username == "ada"
    assert tokens.peek(mint(now=NOW - 100 * HOUR)).username == "ada"


def test_another_key_forges_nothing() -> None:
    refused(tokens.mint(OTHER_KEY, "ada", "run", lifetime=HOUR, now=NOW))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_part_is_noticed(part: int) -> None:
    parts = mint().split(".")
    middle = len(parts[part]) // 2
    parts[part] = parts[part][:middle] + ("A" if parts[part][middle] != "A" else "B") + parts[part][middle + 1 :]
    refused(".".join(parts))


def test_no_algorithm_is_no_signature() -> None:
    for algorithm in ("none", "None", "NONE"):
        refused(f"{b64({'alg': algorithm, 'typ': 'JWT'})}.{b64(claims())}.")
        refused(f"{b64({'alg': algorithm, 'typ': 'JWT'})}.{b64(claims())}.{mint().split('.')[2]}")


def test_the_public_key_is_no_shared_secret() -> None:
    header = {"alg": "HS256", "typ": "JWT"}
    signed = f"{b64(header)}.{b64(claims())}"
    refused(f"{signed}.{b64(hmac.digest(PUBLIC, signed.encode(), 'sha256'))}")


def test_a_key_in_the_header_is_not_used() -> None:
    other = b64(OTHER_KEY.public_key().public_bytes_raw())
    header = {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": other}, "kid": "other"}
    refused(jwt.encode(claims(), OTHER_KEY, "EdDSA", headers=header))


def test_expiry_is_to_the_second() -> None:
    tokens.verify(mint(), PUBLIC, now=NOW + HOUR - timedelta(seconds=1))
    with pytest.raises(CapeError, match="token is expired"):
        tokens.verify(mint(), PUBLIC, now=NOW + HOUR)
    refused(mint(), "token_expired", NOW + HOUR)


def test_from_the_future_it_is_refused() -> None:
    tokens.verify(mint(), PUBLIC, now=NOW - timedelta(seconds=59))
    refused(mint(), now=NOW - timedelta(seconds=61))


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": ...}, {"sub": "bob"}, {"sub": "a b"}, {"sub": 5}, {"jti": ...}, {"jti": "short"}, {"iat": ...},
        {"iat": "now"}, {"aud": ...}, {"aud": ["other"]}, {"iss": "cape-privacy"}, {"iss": ...}, {"scope": ...},
        {"scope": "admin"}, {"scope": ["run"]}, {"exp": "never"}, {"exp": 10**30}, {"function_id": 7},
        {"https://capeprivacy.com/username": "bob"}, {"https://capeprivacy.com/username": ...},
    ],
)  # fmt: skip
def test_odd_claims_are_refused_though_signed(changes: dict[str, Any]) -> None:
    refused(jwt.encode(claims(**changes), KEY, "EdDSA"))


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.é.é", "x" * (tokens.MAX_TOKEN_CHARACTERS + 1)])
def test_what_is_no_token_is_refused(token: str) -> None:
    refused(token)
    with pytest.raises(CapeError):
        tokens.peek(token)


def test_deploy_tokens_state_the_bundle() -> None:
    stated = {"func_checksum": "ab" * 32, "function_name": "echo", "public": False}
    token = tokens.verify(mint("deploy", **stated), PUBLIC, now=NOW)
    assert token.deploy == (b"\xab" * 32, "echo", False)


@pytest.mark.parametrize(
    "changes",
    [
        {"func_checksum": "AB" * 32},
        {"func_checksum": "ab"},
        {"func_checksum": None},
        {"public": 1},
        {"function_name": None},
    ],
)
def test_deploy_tokens_that_state_less_allow_nothing(changes: dict[str, Any]) -> None:
    stated = {"func_checksum": "ab" * 32, "function_name": "echo", "public": False} | changes
    with pytest.raises(CapeError):
        _ = tokens.verify(mint("deploy", **stated), PUBLIC, now=NOW).deploy


def test_no_other_scope_deploys() -> None:
    stated = {"func_checksum": "ab" * 32, "function_name": "echo", "public": False}
    with pytest.raises(CapeError):
        _ = tokens.verify(mint("account", **stated), PUBLIC, now=NOW).deploy


def test_a_token_shows_no_claims_in_logs() -> None:
    assert "nickname" not in repr(tokens.peek(mint()))
