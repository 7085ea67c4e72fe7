"""The Cape host's enclaves: which of the fleet gets a request about an account, or a client's session.

All of them need the same root secret, because each opens the records that any of them has made. A change of an account
becomes valid when the store keeps its record, so a request about one can be repeated at another enclave.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Final, TypeVar
from weakref import WeakKeyDictionary

from blindsight.errors import CapeError
from gateway.cape.accountroot import AccountRoot
from gateway.cape.enclave import EnclaveSession, RemoteCapeEnclave, unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from gateway.admission import Places
    from gateway.cape.store import Store
    from gateway.enclave.fleet import Fleet
    from gateway.enclave.member import Member

_ELSEWHERE: Final = frozenset({"enclave_unavailable", "overloaded"})
"""Refusals after which another enclave is asked."""
_ASKED: Final = 2
"""Greatest number of enclaves that are asked for one request."""

T = TypeVar("T")


class CapeEnclaves:
    """Sends each request to one enclave, and tells all of each stored record. Every method raises `CapeError`.

    Of the releases that a policy lists, enclaves of the first are used as long as one is there and takes the request:
    Cape's clients pin one release and cannot ask for another enclave.
    """

    def __init__(self, fleet: Fleet, store: Store, evidence_places: Places, *, deadline: float) -> None:
        """`evidence_places` and `deadline` as those of `RemoteCapeEnclave`."""
        self._fleet = fleet
        self._evidence_places = evidence_places
        self._deadline = deadline
        self._remotes: WeakKeyDictionary[Member, RemoteCapeEnclave] = WeakKeyDictionary()
        self._root = AccountRoot(store, fleet, self._opens)

    @property
    def members(self) -> tuple[Member, ...]:
        """The enclaves that open the store's records."""
        members = self._fleet.members
        return tuple(
            member
            for member in members
            # The only one is asked in any case, so that its refusal states the reason.
            if self._root.is_of(member) and (member.enclave.known or self._fleet.is_single)
        )

    @property
    def notice(self) -> str:
        """What callers are told of the accounts; empty if there is nothing."""
        return self._root.notice

    async def watch(self) -> None:
        """Find out whose records the store has, and name enclaves that cannot open them, until cancelled."""
        await self._root.watch()

    async def create_account(self, username: str, owner_public_key: bytes, proof: str) -> bytes:
        """The record of a new account."""
        return await self._answer(lambda enclave: enclave.create_account(username, owner_public_key, proof))

    async def user_key(self, record: bytes) -> bytes:
        """The attestation document of an account's Cape Key."""
        return await self._answer(lambda enclave: enclave.user_key(record))

    async def add_function(self, record: bytes, token: str) -> tuple[str, bytes]:
        """The id of the function that a deploy token allows, and the record that has it."""
        return await self._answer(lambda enclave: enclave.add_function(record, token))

    async def delete_function(self, record: bytes, token: str, function_id: str) -> bytes:
        """The record without the function."""
        return await self._answer(lambda enclave: enclave.delete_function(record, token, function_id))

    async def revoke_token(self, record: bytes, token: str, token_id: str, expires: datetime | None) -> bytes:
        """The record in which the token is revoked."""
        return await self._answer(lambda enclave: enclave.revoke_token(record, token, token_id, expires))

    async def commit(self, record: bytes) -> None:
        """Inform all enclaves that this record is stored. Raises a refusal after all were asked."""
        await self._root.look()
        told = (self._in_time(member, lambda enclave: enclave.commit(record)) for member in self.members)
        for refused in await asyncio.gather(*told, return_exceptions=True):
            if refused is not None:
                raise refused

    async def open(self, **fields: str | bytes) -> EnclaveSession:
        """Start a session; `fields` are those of CAPE_OPEN.

        Clients of one function get the same enclave while it has no more to do than others, because it has unpacked the
        function.
        """
        member, session = await self._ask(
            lambda enclave: enclave.open(**fields), near=str(fields.get("function_id", ""))
        )
        session.count_at(member)
        return session

    async def grant(self, member: Member, record: bytes, token: str) -> None:
        """Let the classifier of one enclave decrypt for the account."""
        await self._in_time(member, lambda enclave: enclave.grant(record, token))

    async def _opens(self, member: Member, record: bytes) -> bool:
        """Whether an enclave opens a stored record. Raises `CapeError` if it does not say."""
        try:
            # It is the stored one, of which enclaves are told anyway.
            await self._in_time(member, lambda enclave: enclave.commit(record))
        except CapeError as error:
            if error.code == "damaged_record":
                return False
            if error.code != "stale_record":  # The account was changed meanwhile.
                raise
        return True

    def _remote(self, member: Member) -> RemoteCapeEnclave:
        found = self._remotes.get(member)
        if found is None:
            places, deadline = self._evidence_places, self._deadline
            found = RemoteCapeEnclave(member.enclave, member.connections, places, deadline=deadline)
            self._remotes[member] = found
        return found

    async def _answer(self, ask: Callable[[RemoteCapeEnclave], Awaitable[T]]) -> T:
        return (await self._ask(ask))[1]

    async def _ask(self, ask: Callable[[RemoteCapeEnclave], Awaitable[T]], *, near: str = "") -> tuple[Member, T]:
        """The answer, and the enclave that gave it. `near`: what to find an enclave by, of those that are equal."""
        await self._root.look()
        refusal = self._root.refusal or unavailable()
        for member in self._in_order(near)[:_ASKED]:
            try:
                with member.busy():
                    answer = await self._in_time(member, ask)
            except CapeError as error:
                if error.code == "enclave_unavailable":
                    member.failed(time.monotonic())
                if error.code not in _ELSEWHERE:
                    raise
                refusal = error
                continue
            member.succeeded()
            if await self._adopted(member, answer):
                return member, answer
        raise refusal

    async def _adopted(self, member: Member, answer: object) -> bool:
        """Whether the store's records are of this enclave; a session that is not used is closed."""
        adopted = False
        try:
            adopted = await self._root.adopt(member)
        finally:
            if not adopted and isinstance(answer, EnclaveSession):
                answer.close()
        return adopted

    async def _in_time(self, member: Member, ask: Callable[[RemoteCapeEnclave], Awaitable[T]]) -> T:
        """The answer, in time for another enclave to be asked. Raises `CapeError` (`enclave_unavailable`) if not."""
        try:
            async with asyncio.timeout(self._deadline / _ASKED):
                return await ask(self._remote(member))
        except TimeoutError as error:
            raise unavailable() from error

    def _in_order(self, near: str) -> list[Member]:
        """The enclaves that can be asked, the best first."""
        now = time.monotonic()
        listed = self._fleet.policy.releases

        def rank(member: Member) -> tuple[int, bool, bool, float, bytes]:
            known = member.enclave.known
            place = listed.index(known.verified.release) if known else len(listed)
            affinity = hashlib.sha256(f"{near} {member.id}".encode()).digest()
            return place, not member.enclave.ready, member.rests(now), member.session_load, affinity

        return sorted(self.members, key=rank)
