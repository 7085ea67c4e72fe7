"""An enclave for the Cape front door's REST half: its records are readable JSON, and nothing in it is sealed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from blindsight.cape import tokens
from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime


class FakeCapeEnclave:
    """Does what the real one does to records. `calls` counts; set `broken` and every call fails."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.committed: list[bytes] = []
        self.broken = False
        self.commit_broken = False
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        """Awaited before a change is answered, for tests that change the account meanwhile."""

    async def create_account(self, username: str, owner_public_key: bytes, proof: str) -> bytes:
        self._called("create_account")
        assert tokens.verify(proof, owner_public_key).username == username
        fields = {"username": username, "key": owner_public_key.hex(), "version": 1, "functions": [], "revoked": {}}
        return _seal(fields)

    async def user_key(self, record: bytes) -> bytes:
        self._called("user_key")
        return b"document of " + json.loads(record)["username"].encode()

    async def delete_function(self, record: bytes, token: str, function_id: str) -> bytes:
        fields = self._changing("delete_function", record, token)
        if function_id not in fields["functions"]:
            raise CapeError("unknown_function", "there is no such function")
        fields["functions"].remove(function_id)
        return await self._changed(fields)

    async def revoke_token(self, record: bytes, token: str, token_id: str, expires: datetime | None) -> bytes:
        fields = self._changing("revoke_token", record, token)
        fields["revoked"][token_id] = expires and expires.isoformat()
        return await self._changed(fields)

    async def commit(self, record: bytes) -> None:
        self._called("commit")
        if self.commit_broken:
            raise CapeError("enclave_unavailable", "the enclave is gone")
        self.committed.append(record)

    def _changing(self, call: str, record: bytes, token: str) -> dict[str, Any]:
        self._called(call)
        fields: dict[str, Any] = json.loads(record)
        assert tokens.verify(token, bytes.fromhex(fields["key"])).scope == "account"
        return fields

    async def _changed(self, fields: dict[str, Any]) -> bytes:
        if self.before_answer is not None:
            await self.before_answer()
        return _seal(fields | {"version": fields["version"] + 1})

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if self.broken:
            raise CapeError("enclave_unavailable", "the enclave cannot be reached")


def with_function(record: bytes, function_id: str) -> bytes:
    """The next record, with a function: what a deployment makes."""
    fields = json.loads(record)
    return _seal(fields | {"version": fields["version"] + 1, "functions": [*fields["functions"], function_id]})


def _seal(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()
