"""Errors about accounts: in Cape's protocol, about owners, and about local trust."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from blindsight.errors.base import BlindsightError

if TYPE_CHECKING:
    from collections.abc import Mapping


class CapeError(BlindsightError):
    """A request in Cape's protocol was refused. Cape's clients show the message to their users.

    `status` is the HTTP status of the answer. Only `overloaded`, `rate_limited` and `function_lost` are retryable.
    """

    def __init__(self, code: str, message: str, *, retry_after: int | None = None) -> None:
        """`retry_after`: seconds to wait, if they are known."""
        super().__init__(code, message)
        self.retry_after = retry_after

    _STATUS: ClassVar[Mapping[str, int]] = MappingProxyType(
        {
            "token_invalid": 401,
            "token_expired": 401,
            "token_revoked": 401,
            "forbidden": 403,
            "unknown_account": 404,
            "unknown_function": 404,
            "unknown_token": 404,
            "unknown_code": 404,
            "name_taken": 409,
            "stale_record": 409,
            "too_large": 413,
            "unsupported_media_type": 415,
            "too_many_guesses": 429,
            "rate_limited": 429,
            "overloaded": 503,
            "enclave_unavailable": 503,
        }
    )
    NEXT_STEPS = MappingProxyType(
        {
            "token_invalid": "Make a new token with `cape token create`, or log in again with `cape login`.",
            "token_expired": "Log in again with `cape login`, or make a new token with `cape token create`.",
            "token_revoked": "Make a new token with `cape token create`.",
            "forbidden": "Use a token of the function's owner, or ask the owner to make the function public.",
            "unknown_account": "Check the username; `cape signup` makes an account.",
            "unknown_function": "Check the function's id or name; `cape list` shows yours.",
            "unknown_token": "Check the token's id; `cape token list` shows yours.",
            "unknown_code": "Check the code, or begin again with `cape login`: a code is good for ten minutes, once.",
            "too_many_guesses": "Wait ten minutes, then type the code as the device shows it.",
            "rate_limited": "Wait as long as the message says, then try again.",
            "malformed_request": "Use a Cape client, or see docs/cape-compatibility.md for the requests.",
            "unsupported_media_type": "Send the body as application/json.",
            "name_taken": "Choose another username.",
            "refused": "See the host's message; `cape --help` and docs/cape-compatibility.md describe the rules.",
            "bad_name": "Use letters, digits and dashes; 39 characters at the most.",
            "stale_record": "Try again; if the error persists, the host keeps an old state of the account.",
            "damaged_record": "The host's record is damaged or belongs to another account; do not use this host.",
            "replayed": "Encrypt the input again: each message is answered once.",
            "malformed_frame": "Use a Cape client, or see docs/cape-compatibility.md for the messages.",
            "cannot_decrypt": "Encrypt it for the function's owner; remove old keys from ~/.config/cape.",
            "bad_cape_key": "Remove the cached key and fetch it again with `cape key`.",
            "bad_bundle": "Deploy a folder or zip with an app.py that defines cape_handler; see `cape test`.",
            "checksum_mismatch": "The upload is not what the token allows; deploy again.",
            "function_failed": "Debug the function with `cape test`, which shows its owner the traceback.",
            "function_lost": "Try again; if the error persists, the function ends its process.",
            "deadline_exceeded": "Send less at a time, or make the function faster.",
            "too_large": "Send less: see docs/cape-compatibility.md for the limits.",
            "overloaded": "Try again in a few seconds.",
            "enclave_unavailable": "Try again in a few seconds.",
        }
    )

    @property
    def status(self) -> int:
        return self._STATUS.get(self.code, 400)


class OwnerError(BlindsightError):
    """The host presents a Cape Key that does not belong to the expected owner. Nothing was encrypted. Not retryable."""

    NEXT_STEPS = MappingProxyType(
        {
            "owner_mismatch": "Ask the account's owner, over another channel, for the fingerprint in `cape key`.",
            "owner_missing": "Use a host whose enclave attests the key's owner, as every release of Blindsight does.",
        }
    )


class LocalTrustError(BlindsightError):
    """`blindsight with-local-trust` would have to trust more than this machine. Nothing was run."""

    NEXT_STEPS = MappingProxyType(
        {
            "not_local": "Name a stack on this machine, as in https://localhost:8443; local trust is for those only.",
            "unlimited_authority": "Restart the stack with `blindsight up`, which creates an authority for loopback.",
        }
    )
