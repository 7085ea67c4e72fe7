"""The Cape front door's REST half in this process, and people with accounts there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.cape import ids, tokens
from blindsight.cape.messages import b64
from gateway.cape.store import FunctionRow, Store
from tests.support.fake_cape_enclave import FakeCapeEnclave, with_function

if TYPE_CHECKING:
    import httpx2
    from fastapi import FastAPI

    from gateway.cape.bundles import Bundles


@dataclass(frozen=True)
class Owner:
    """Someone with an account's key."""

    username: str
    key: Ed25519PrivateKey

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    def token(self, scope: tokens.Scope = "account", **options: Any) -> str:
        lifetime = options.pop("lifetime", timedelta(hours=1))
        return tokens.mint(self.key, options.pop("username", self.username), scope, lifetime=lifetime, **options)

    def bearer(self, scope: tokens.Scope = "account", **options: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(scope, **options)}"}


def owner(username: str) -> Owner:
    return Owner(username, Ed25519PrivateKey.generate())


@dataclass(frozen=True)
class Front:
    """The application, a client of it, and what is behind it."""

    client: httpx2.AsyncClient
    store: Store
    bundles: Bundles
    enclave: FakeCapeEnclave
    app: FastAPI

    async def sign_up(self, username: str) -> Owner:
        someone = owner(username)
        body = {"username": username, "owner_public_key": b64(someone.public), "proof": someone.token()}
        response = await self.client.post("/v1/accounts", json=body)
        assert (response.status_code, response.json()) == (201, {"username": username})
        return someone

    async def deploy(self, someone: Owner, name: str) -> FunctionRow:
        """A function as the deployment makes it: bundle, row and record."""
        account = await self.store.account(someone.username)
        assert account is not None
        function = FunctionRow(ids.new(), account.username, name, False, bytes(32), 7, datetime.now(UTC))
        async with self.bundles.receiving() as upload:
            await upload.write(b"content")
            await upload.keep(function.id)
        await self.store.deploy_function(function, with_function(account.record, function.id), account.version)
        return function

    async def register(self, someone: Owner, token: str, **members: Any) -> httpx2.Response:
        body = {"name": "mine", "token": token, **members}
        return await self.client.post("/v1/token", json=body, headers=someone.bearer())
