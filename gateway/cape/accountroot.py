"""Which root secret the stored account records belong to. Enclaves with another one cannot open them.

Without this each request of each account would fail at such an enclave as if its record were damaged, and a new account
could get a record that no other enclave opens.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.cape.store import Store
    from gateway.enclave.fleet import Fleet
    from gateway.enclave.member import Member

_log = logging.getLogger("gateway.cape")

_LOOK_SECONDS: Final = 1.0
_RECORDS: Final = 3
"""Of which one that can be decrypted is enough: the others may be damaged."""
_NOTICE: Final = (
    "ACCOUNTS CANNOT BE USED: the enclave has another root secret than the stored accounts were made with."
    " The operator can restore that secret, or delete the accounts."
)


class AccountRoot:
    """The identity of that secret (`RootSecret.identity`), as the store keeps it for all gateways.

    A store of an earlier release, or a restored one, has none: then a few records are presented to the enclaves. In an
    empty store the first enclave that answers decides.
    """

    def __init__(self, store: Store, fleet: Fleet, opens: Callable[[Member, bytes], Awaitable[bool]]) -> None:
        """`opens` tells whether an enclave opens a record, or raises `CapeError`."""
        self._store = store
        self._fleet = fleet
        self._opens = opens
        self._identity: str | None = None
        self._is_empty = True
        """Whether the store had no account when it was looked at last, before the secret was known."""
        self._refused: set[tuple[str, str]] = set()
        """Id and root of the enclaves that opened none of the records, before the secret was known."""
        self._told: frozenset[str] = frozenset()
        """Ids of enclaves with another secret, which the log has named."""

    @property
    def notice(self) -> str:
        """What callers are told; empty if an enclave has the secret, or none can be asked."""
        return _NOTICE if self._known and len(self._strangers) == len(self._known) else ""

    @property
    def refusal(self) -> CapeError | None:
        """The refusal of requests while no enclave has the secret."""
        if not self.notice:
            return None
        return CapeError(
            "damaged_record", "the enclave cannot decrypt the account's record: it is of another root secret"
        )

    def is_of(self, member: Member) -> bool:
        """Whether an enclave has the secret, or may have it."""
        root = member.enclave.account_root
        if root is None:
            return self._fleet.is_single  # It has not said yet, or is of an earlier release.
        return (member.id, root) not in self._refused and self._identity in {None, root}

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look(again=bool(self.notice))
            except CapeError as error:  # The store or an enclave is busy.
                _log.debug("account records not checked", extra={"reason": error.code})
            except Exception:  # noqa: BLE001 -- whatever it is
                # A mistake of ours must not end the watching, of which the log would have nothing.
                _log.exception("account records not checked")
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self, *, again: bool = False) -> None:
        """Find the secret, and log which enclaves have another one. `again`: the accounts may have been deleted since.

        Raises `CapeError`.
        """
        if self._identity is None or again:
            self._identity = await self._store.account_root()
        if self._identity is None:
            await self._try_records()
        strangers = frozenset(member.id for member in self._strangers)
        for name in strangers - self._told:
            _log.error(
                "enclave cannot decrypt the stored accounts: it has another root secret",
                extra={"enclave": name, "reason": "restore the root secret, or delete the accounts: docs/day-two.md"},
            )
        self._told = strangers

    async def adopt(self, member: Member) -> bool:
        """Whether the records are those of this enclave, which has answered a request. In an empty store they are from
        now on, unless another gateway has decided otherwise.
        """
        root = member.enclave.account_root
        if self._identity is None and root is not None:
            self._identity = await self._store.adopt_account_root(root)
        return root in {None, self._identity}

    @property
    def _known(self) -> list[Member]:
        return [member for member in self._fleet.members if member.enclave.known and member.enclave.account_root]

    @property
    def _strangers(self) -> list[Member]:
        return [member for member in self._known if not self.is_of(member)]

    async def _try_records(self) -> None:
        records = await self._store.some_records(_RECORDS)
        if not records:
            self._refused.clear()
            return
        known = {(member.id, str(member.enclave.account_root)): member for member in self._known}
        self._refused &= known.keys()  # What a host writes into the status must not fill the memory.
        unanswered: CapeError | None = None
        for tried, member in known.items():
            if tried in self._refused:
                continue
            try:
                opens = await self._opens_one(member, records)
            except CapeError as error:
                unanswered = error  # Another may open them.
                continue
            if opens:
                await self.adopt(member)
                self._refused.clear()
                return
            self._refused.add(tried)
        if unanswered is not None:
            raise unanswered

    async def _opens_one(self, member: Member, records: Sequence[bytes]) -> bool:
        """Raises `CapeError` if the enclave does not say."""
        for record in records:
            if await self._opens(member, record):
                return True
        return False
