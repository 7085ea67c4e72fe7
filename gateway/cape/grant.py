"""Presentation of the classifier grant to the enclave: the account whose owner authorised decryption by this bundle."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from blindsight.cape import tokens
from blindsight.errors import CapeError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.cape.services import CapeServices
    from gateway.enclave.attested import AttestedEnclave

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_ACT = "classifier_grant.presented"


class ClassifierGrant:
    """Presents the deploy token in `file` to the enclave: again when the enclave's keys change, as after a restart, and
    when the file has another token, since owners sign for days only.
    """

    def __init__(self, file: Path, enclave: AttestedEnclave, services: CapeServices) -> None:
        self._file = file
        self._enclave = enclave
        self._services = services
        self._granted: tuple[bytes, str] | None = None
        """The keys of the enclave that was told last, and the token."""

    async def watch(self) -> None:
        """Run until cancelled. The file can be created or corrected later."""
        said = None
        while True:
            known = self._enclave.known
            if known is not None:
                try:
                    token = (await asyncio.to_thread(self._file.read_text, encoding="utf-8")).strip()
                    if (known.key_configs, token) != self._granted:
                        account = await self._grant(token)
                        self._services.audit.note(_ACT, actor=account)
                        self._granted = known.key_configs, token
                    said = None
                except (CapeError, OSError, UnicodeError) as error:
                    reason = getattr(error, "code", type(error).__name__)
                    if reason != said:
                        _log.warning("classifier grant not accepted", extra={"reason": reason})
                        self._services.audit.note(_ACT, outcome=reason)
                    said = reason
            await asyncio.sleep(_LOOK_SECONDS)

    async def _grant(self, token: str) -> str:
        """The account whose grant was accepted."""
        account = await self._services.store.account(tokens.peek(token).username)
        if account is None:
            raise CapeError("unknown_account", "there is no such account")
        await self._services.enclave.grant(account.record, token)
        return account.username
