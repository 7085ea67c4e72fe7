"""Whether the enclave can decrypt the stored records. It cannot if it has another root secret than when they were made.

Without this check each request of each account would fail as if its record were damaged.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from blindsight.errors import CapeError

if TYPE_CHECKING:
    from gateway.cape.services import CapeServices
    from gateway.enclave.attested import AttestedEnclave

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0
_RECORDS: Final = 3
"""Of which one that can be decrypted is enough: the others may be damaged."""


class RecordsCheck:
    """Presents a few stored records to the enclave: again when its keys change, as after a restart."""

    def __init__(self, enclave: AttestedEnclave, services: CapeServices) -> None:
        self._enclave = enclave
        self._services = services
        self._checked: bytes | None = None

    async def watch(self) -> None:
        """Run until cancelled."""
        while True:
            known = self._enclave.known
            if known is not None and (known.key_configs != self._checked or self._services.records.sealed_elsewhere):
                try:
                    await self._check()
                    self._checked = known.key_configs
                except CapeError as error:  # The store or the enclave is busy.
                    _log.debug("records not checked", extra={"reason": error.code})
            await asyncio.sleep(_LOOK_SECONDS)

    async def _check(self) -> None:
        """Raises `CapeError`."""
        records = await self._services.store.some_records(_RECORDS)
        readable = [await self._is_readable(record) for record in records]
        sealed_elsewhere = bool(records) and not any(readable)
        if sealed_elsewhere and not self._services.records.sealed_elsewhere:
            _log.error(
                "enclave cannot decrypt the stored accounts: it has another root secret",
                extra={"reason": "restore the root secret, or delete the accounts: docs/day-two.md"},
            )
        self._services.records.sealed_elsewhere = sealed_elsewhere

    async def _is_readable(self, record: bytes) -> bool:
        try:
            # It is the stored one, of which the enclave is told anyway.
            await self._services.enclave.commit(record)
        except CapeError as error:
            if error.code == "damaged_record":
                return False
            if error.code != "stale_record":  # The account was changed meanwhile.
                raise
        return True
