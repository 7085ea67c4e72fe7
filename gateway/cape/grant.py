"""Presentation of the classifier grant: the account whose owner authorised decryption by this bundle."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from blindsight.cape import tokens
from blindsight.errors import CapeError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.audit.log import Audit
    from gateway.cape.enclaves import CapeEnclaves
    from gateway.cape.store import Store
    from gateway.enclave.member import Member

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_ACT = "classifier_grant.presented"


class ClassifierGrant:
    """Presents the deploy token in `file` to each enclave: again when the enclave's keys change, as after a restart,
    when the file has another token, since owners sign for days only, and when the account changes.

    A record that revokes the token ends the grant: an enclave that missed the change sees it here.
    """

    def __init__(self, file: Path, enclaves: CapeEnclaves, store: Store, audit: Audit) -> None:
        self._audit = audit
        self._file = file
        self._enclaves = enclaves
        self._store = store
        self._granted: WeakKeyDictionary[Member, tuple[bytes, str, int]] = WeakKeyDictionary()
        """What each enclave was told last: its keys, the token, and the version of the account's record."""
        self._said: str | None = None
        """The refusal that the log has."""

    async def watch(self) -> None:
        """Run until cancelled. The file can be created or corrected later."""
        while True:
            try:
                if self._enclaves.members:
                    await self._present()
                self._said = None
            except (CapeError, OSError, UnicodeError) as error:
                reason = getattr(error, "code", type(error).__name__)
                if reason != self._said:
                    _log.warning("classifier grant not accepted", extra={"reason": reason})
                    self._audit.note(_ACT, outcome=reason)
                self._said = reason
            except Exception:  # noqa: BLE001 -- whatever it is
                # A mistake of ours must not end the watching: enclaves learn here that the grant is revoked.
                _log.exception("classifier grant not presented")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _present(self) -> None:
        """Tell all enclaves that do not know it yet. Raises the last refusal after all were asked."""
        token = (await asyncio.to_thread(self._file.read_text, encoding="utf-8")).strip()
        account = await self._store.account(tokens.peek(token).username)
        if account is None:
            raise CapeError("unknown_account", "there is no such account")
        refused: CapeError | None = None
        for member in self._enclaves.members:
            known = member.enclave.known
            if known is None:
                continue
            news = known.key_configs, token, account.version
            if self._granted.get(member) != news:
                try:
                    await self._enclaves.grant(member, account.record, token)
                    self._audit.note(_ACT, actor=account.username, subject=member.id)
                    self._granted[member] = news
                except CapeError as error:
                    refused = error
        if refused is not None:
            raise refused
