"""Deployments: storing the ciphertext on disk and the function in the owner's record.

The order of writes is safe against interruption at any point: the file is durable before the store lists the function,
and the enclave is informed last. An interruption leaves either a file without a function, which a sweep removes, or a
complete function.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from blindsight.errors import CapeError
from gateway.cape.enclave import unavailable
from gateway.cape.store import FunctionRow, unknown_account

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from gateway.cape.services import CapeServices, Upload

_log = logging.getLogger("gateway.cape")

_ATTEMPTS = 5
"""Retries if other changes of the same account interfere."""


class Deployment:
    """One upload for one account."""

    def __init__(
        self,
        services: CapeServices,
        upload: Upload,
        username: str,
        token: str,
        connection: HTTPConnection | None = None,
    ) -> None:
        """`connection` names the request in the audit log."""
        self._connection = connection
        self._services = services
        self._upload = upload
        self._username = username
        self._token = token

    async def take(self, piece: bytes) -> None:
        """Store the next piece. Raises `CapeError` (`too_large`)."""
        await self._upload.write(piece)

    async def finish(self, accepted: dict[str, Any]) -> str:
        """Store the function that the enclave has accepted; returns its id. Raises `CapeError`."""
        deployed = self._services.audit.act("function.deployed", actor=self._username, connection=self._connection)
        async with deployed as told:
            told["subject"] = function_id = await self._store(accepted)
            told["checksum"] = accepted["checksum"].hex()
        return function_id

    async def _store(self, accepted: dict[str, Any]) -> str:
        match accepted:
            case {"name": str() as name, "public": bool() as public, "checksum": bytes() as checksum}:
                pass
            case _:
                raise unavailable()
        kept: str | None = None
        try:
            for attempt in range(1, _ATTEMPTS + 1):
                account = await self._services.store.account(self._username)
                if account is None:
                    raise unknown_account()
                function_id, record = await self._services.enclave.add_function(account.record, self._token)
                await self._upload.keep(function_id)
                kept = function_id
                row = FunctionRow(
                    id=function_id,
                    owner=account.username,
                    name=name,
                    public=public,
                    checksum=checksum,
                    size=self._upload.size,
                    created_at=datetime.now(UTC),
                )
                try:
                    await self._services.store.deploy_function(row, record, account.version)
                except CapeError as error:
                    if error.code == "overloaded":
                        kept = None  # It may have been stored; if not, the file is swept later.
                    if error.code != "stale_record" or attempt == _ATTEMPTS:
                        raise
                    continue
                await self._commit(record)
                return function_id
        except CapeError:
            if kept is not None:
                await self._services.bundles.delete(kept)
            raise
        raise AssertionError("unreachable")

    async def _commit(self, record: bytes) -> None:
        """Inform the enclave. The function is stored, so the deployment has succeeded even if the enclave has seen a
        newer record.
        """
        try:
            await self._services.enclave.commit(record)
        except CapeError as error:
            _log.warning("enclave not told of a stored record", extra={"code": error.code})
