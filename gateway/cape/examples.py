"""Examples for the OpenAPI page of what the Cape endpoints answer and how they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from blindsight.cape.constants import TOKEN_EXPIRED

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of tokens and documents only the beginning is shown, up to the ellipsis.
_TOKEN: Final = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhbGljZSIs…"  # noqa: S105 -- the beginning of one
_FUNCTION: Final = {
    "id": "DqzufkTdqtsg5ZVhBNjGku",
    "name": "hello",
    "created_at": "2026-11-26T07:41:14.484048Z",
    "public": True,
    "checksum": "b674bcee13fe0805e88254e6107b36efe7263975eb308a2259964f1f6d20c252",
    "size": 1843,
}
_DONE: Final[Mapping[str, tuple[str, Any]]] = {"done": ("Done", {})}

ANSWERS: Final[Mapping[str, Mapping[str, tuple[str, Any]]]] = {
    "createAccount": {"account": ("The account of Alice", {"username": "alice"})},
    "deleteAccount": _DONE,
    "getUserKey": {
        "key": ("A Cape Key", {"attestation_document": "hEShATgioFkRcb9pbW9kdWxlX2lkeCdpLWU3NWNkZDBiZmYyNTI2MmYw…"})
    },
    "listFunctions": {"functions": ("One function", [_FUNCTION])},
    "getFunction": {
        "function": ("A function of Alice's", {**_FUNCTION, "user_id": "alice", "location": "alice/hello"})
    },
    "deleteFunction": _DONE,
    "registerToken": {"token": ("The token, as it was sent", {"token": _TOKEN})},
    "listTokens": {
        "tokens": (
            "One token, for one function",
            [
                {
                    "id": "VdzgRv2C3CDcmn3HyTxcXG",
                    "name": "reports",
                    "description": "of the nightly run",
                    "function_id": "DqzufkTdqtsg5ZVhBNjGku",
                    "created_at": "2026-11-26T07:41:14.484048Z",
                    "expiry": "2027-11-26T07:41:14Z",
                    "last_used": None,
                }
            ],
        )
    },
    "revokeToken": _DONE,
    "requestDeviceCode": {
        "codes": (
            "A code for the device, and one for its user",
            {
                "device_code": "Qm9ROXdXcVZ0Zk1rT2h6U1lEaXBXcUxuR3VKc0VhYkM",
                "user_code": "WDJB-MJHT",
                "verification_uri": "https://localhost:8443/device",
                "verification_uri_complete": "https://localhost:8443/device?user_code=WDJB-MJHT",
                "expires_in": 600,
                "interval": 5,
            },
        )
    },
    "pollDeviceLogin": {
        "tokens": (
            "An approved login",
            {"access_token": _TOKEN, "token_type": "Bearer", "id_token": _TOKEN, "expires_in": 86400},
        )
    },
    "decideDeviceLogin": _DONE,
    "getDeviceLogin": {
        "device": (
            "A laptop that waits",
            {
                "user_code": "WDJB-MJHT",
                "created_at": "2026-11-26T07:41:14Z",
                "device_name": "laptop",
                "address": "192.0.2.7",
                "account": "alice",
            },
        )
    },
}
"""By operation: examples of its answer, each with what it is of."""

_TEXTS: Final[Mapping[str, str]] = {
    "malformed_request": "the body is not JSON",
    "bad_name": "a username is 1 to 39 letters, digits and dashes, with no dash at its ends",
    "token_invalid": "unauthorized: authentication required",
    "token_expired": TOKEN_EXPIRED,
    "token_revoked": "the token was revoked",
    "forbidden": "this token is not for that; log in with `cape login`",
    "unknown_account": "there is no such account",
    "unknown_function": "there is no such function",
    "unknown_token": "there is no such token",
    "unknown_code": "no login is waiting with this code",
    "name_taken": "this username is taken",
    "stale_record": "the account was changed meanwhile; try again",
    "too_large": "the body has more than 65536 bytes",
    "unsupported_media_type": "the body has to be application/json",
    "too_many_guesses": "too many wrong codes; wait ten minutes",
    "rate_limited": "too many requests: At most 10 requests per second. Try again in 1 s.",
    "overloaded": "the service cannot reach its store; try again",
    "enclave_unavailable": "the enclave cannot be reached; it may be restarting",
}

PENDING: Final = {
    "authorization_pending": {"summary": "Not decided yet", "value": {"error": "authorization_pending"}},
    "slow_down": {"summary": "Asked too often", "value": {"error": "slow_down"}},
    "access_denied": {"summary": "Denied", "value": {"error": "access_denied"}},
    "expired_token": {"summary": "Too late", "value": {"error": "expired_token"}},
    "invalid_request": {
        "summary": "Malformed",
        "value": {
            "error": "invalid_request",
            "error_description": "the body is not a form with one grant_type and one device_code",
        },
    },
}
"""Why a device has no token (RFC 8628, 3.5)."""


def refusals(codes: list[str]) -> dict[str, Any]:
    """An example of each."""
    return {
        code: {"summary": code.replace("_", " "), "value": {"error": _TEXTS[code], "message": _TEXTS[code]}}
        for code in codes
    }
