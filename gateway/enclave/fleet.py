"""The enclaves that this gateway uses. Each is verified before its first use; which one gets a request is chosen here.

A photo that the gateway seals goes to the enclave with the fewest requests for each of its workers. A message that its
caller sealed goes to the enclave whose key it names, and to no other: its caller may have verified only that one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from blindsight.errors import BlindsightError, SealingError
from blindsight.problems import Problem
from blindsight.sealing import ohttp
from gateway.enclave.keyids import KeyIds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from blindsight.attestation.policy import Policy
    from blindsight.wire.address import Address
    from gateway.enclave.attested import Attested
    from gateway.enclave.exchange import Answer
    from gateway.enclave.member import Member
    from gateway.enclave.sources import Sources

_log = logging.getLogger(__name__)

_NAMES_SECONDS: Final = 5.0
"""Interval of looking up names, as short as headless Services change."""
_DRAIN_POLL_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 1.0
"""Least interval of looking at all enclaves because of a key that none is known to have."""

_ELSEWHERE: Final = frozenset({"enclave_unavailable", "evidence_refused", "overloaded", "draining", "cannot_decrypt"})
"""Problems after which another enclave is asked for the same photo. Not `worker_lost`, for which the photo may be the
reason. An enclave that is new may not have been told yet that it may decrypt for the classifier's account."""
_FAILURES: Final = frozenset({"enclave_unavailable", "deadline_exceeded"})


T = TypeVar("T")


class Fleet:
    """All enclaves. `make` connects to the one at an address; `deadline` is in seconds."""

    def __init__(self, sources: Sources, make: Callable[[Address], Member], policy: Policy, *, deadline: float) -> None:
        self.policy = policy
        self._sources = sources
        self._make = make
        self._deadline = deadline
        self._members: dict[Address, Member] = {address: make(address) for address in sources.listed}
        self.members: tuple[Member, ...] = ()
        """In the order of their ids, which is the same at every gateway."""
        self._order()
        self._watching: dict[Address, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._key_ids = KeyIds()
        self._gone: list[Member] = []
        """Enclaves that left a short while ago, with keys to which callers may still seal."""
        self._turn = 0
        self._looking: asyncio.Task[None] | None = None
        self._looked = 0.0

    @property
    def is_single(self) -> bool:
        """Whether there is one enclave, at an address that does not change."""
        return self._sources.single

    @property
    def ready(self) -> bool:
        """Whether a request will be answered."""
        return any(member.enclave.ready for member in self.members)

    @property
    def known(self) -> Attested | None:
        """A verified enclave, one that is ready if there is one."""
        members = sorted(self.members, key=lambda member: not member.enclave.ready)
        return next((member.enclave.known for member in members if member.enclave.known), None)

    @property
    def current(self) -> Attested:
        """As `known`. Raises `Problem` (`enclave_unavailable`, `evidence_refused`)."""
        known = self.known
        if known is None:
            raise self.refusal
        return known

    @property
    def refusal(self) -> Problem:
        """Why no enclave is ready: evidence that was refused, if there is such."""
        refusals = [member.enclave.refusal for member in self.members]
        refused = [problem for problem in refusals if problem.kind.code == "evidence_refused"]
        return (refused or refusals or [Problem("enclave_unavailable", "No enclave is known here yet.")])[0]

    @property
    def confinement(self) -> dict[str, Any] | None:
        """What the enclave of `known` says of its confinement."""
        known = self.known
        return next((member.enclave.confinement for member in self.members if member.enclave.known is known), None)

    async def watch(self) -> None:
        """Verify all enclaves periodically, and follow their addresses and keys, until cancelled."""
        try:
            while True:
                try:
                    self._follow(await self._sources.addresses())
                    self._claim_keys()  # So that none of the replaced keys is missed.
                except Exception:  # noqa: BLE001 -- whatever it is
                    # A mistake of ours must not end the verification of those that are known.
                    _log.exception("following the enclaves failed")
                await asyncio.sleep(_NAMES_SECONDS)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Close all idle connections."""
        for member in self.members:
            await member.connections.close()

    def use(self, policy: Policy) -> None:
        """Put `policy` in force for all enclaves at once; those that it refuses get no further request."""
        self.policy = policy
        # Those that are leaving, too, answer the requests that they hold.
        for member in (*self.members, *self._gone):
            member.enclave.use(policy)

    def member(self, member_id: str) -> Member:
        """The enclave with this id. Raises `Problem` (`not_found`)."""
        for member in self.members:
            if member.id == member_id:
                return member
        raise Problem("not_found", "There is no enclave with this id; /info lists them.")

    def offered(self, caller: str, *, without: Member | None = None) -> Member:
        """The enclave to which `caller` is to seal: the same one as long as it is there, others for other callers.

        Only one whose key ids belong to no other is offered. Raises `Problem`.
        """
        now = self._claim_keys()
        offered = [
            member
            for member in self.members
            if member is not without and member.enclave.known and self._key_ids.lead_to(member, now)
        ]
        if not offered:
            if self._sources.single and without is None:
                return self.members[0]  # Whose evidence may be accepted now.
            raise self.refusal
        warm = [member for member in offered if member.enclave.ready]
        return max(warm or offered, key=lambda member: hashlib.sha256(f"{caller} {member.id}".encode()).digest())

    def reaches(self, member: Member, key_configs: bytes) -> bool:
        """Whether messages that are sealed to these keys will be delivered to `member`, and to no other enclave."""
        if self._sources.single:
            return True
        now = self._claim_keys()
        known = member.enclave.known
        return known is not None and known.key_configs == key_configs and self._key_ids.lead_to(member, now)

    async def look_at(self, member: Member) -> None:
        """Follow its keys now. If other enclaves have such key ids, it replaces them."""
        try:
            if member.enclave.known is None:
                await member.enclave.attest()
            else:
                await member.enclave.look(self._taken_from(member))
        except BlindsightError:
            return  # It has logged the reason, and is not used.

    def next(self) -> Attested:
        """The enclave that would get the next request of the gateway's own. Raises `Problem`."""
        return self._least_loaded().enclave.current

    async def classify(
        self, image: bytes, top_k: int, *, receipt: bool = False, like: Attested | None = None
    ) -> Answer:
        """Classify one image; at most two enclaves are asked, with `like` only of its release. Raises `Problem`.

        The second one, which gets the image sealed anew, is asked if the first was lost or refused every request. More
        are not: the image may be what ends them.
        """
        until = asyncio.get_running_loop().time() + self._deadline
        first = self._least_loaded(like=like)
        try:
            return await self._ask(first, image, top_k, receipt=receipt, until=until)
        except Problem as problem:
            if problem.kind.code not in _ELSEWHERE or len(self.members) == 1:
                raise
            try:
                second = self._least_loaded(without=(first,), like=like)
            except Problem:
                raise problem from None
        return await self._ask(second, image, top_k, receipt=receipt, until=until)

    async def relay(self, sealed: bytes) -> bytes:
        """Relay a caller's `message/ohttp-req` to the enclave whose key it names. Raises `Problem`.

        It is sent once: after a loss, whether the enclave has opened it is not known here.
        """
        member = await self._addressee(sealed)
        until = asyncio.get_running_loop().time() + self._deadline
        with member.busy():
            return await self._told(member, member.exchange.relay(sealed, until=until))

    async def _ask(self, member: Member, image: bytes, top_k: int, *, receipt: bool, until: float) -> Answer:
        with member.busy():
            return await self._told(member, member.exchange.classify(image, top_k, receipt=receipt, until=until))

    @staticmethod
    async def _told(member: Member, asked: Coroutine[Any, Any, T]) -> T:
        """The answer; `member` is told how it went."""
        try:
            answer = await asked
        except Problem as problem:
            if problem.kind.code in _FAILURES:
                member.failed(time.monotonic())
            raise
        member.succeeded()
        return answer

    def _least_loaded(self, without: Collection[Member] = (), like: Attested | None = None) -> Member:
        """The enclave for the next request of the gateway's own. Raises `Problem`."""
        now = time.monotonic()
        members = [
            member
            for member in self.members
            if (known := member.enclave.known) and member not in without and (like is None or known.is_like(like))
        ]
        if not members:
            raise self.refusal
        warm = [member for member in members if member.enclave.ready]
        awake = [member for member in warm if not member.rests(now)]
        best = awake or warm or members
        self._turn += 1  # Of equals, each in turn.
        start = self._turn % len(best)
        return min(best[start:] + best[:start], key=lambda member: member.load)

    async def _addressee(self, sealed: bytes) -> Member:
        if self._sources.single:
            (member,) = self.members
            if member.enclave.known is None:
                raise member.enclave.refusal
            return member
        try:
            key_id = ohttp.key_id_of(sealed)
        except SealingError as error:
            raise Problem("bad_request", "The body is not an encapsulated request.") from error
        owner = self._owner(key_id)
        if owner is None:
            # Its keys may be newer than the last look at it: a caller fetches evidence from the enclave itself.
            await self._look()
            owner = self._owner(key_id)
        if owner is None or owner in self._gone:
            raise Problem("ohttp_key", "Fetch and verify the key configurations, and seal anew.")
        if owner.enclave.known is None:
            raise owner.enclave.refusal
        return owner

    def _owner(self, key_id: int) -> Member | None:
        """The enclave of a key."""
        self._claim_keys()
        return self._key_ids.owner(key_id)

    def _claim_keys(self) -> float:
        """Follow the keys of all enclaves. Returns the time."""
        now = time.monotonic()
        self._gone = [member for member in self._gone if member.key_ids(now) or member.lost_key_ids(now)]
        self._key_ids.claim(self.members, self._gone, now)
        return now

    def _taken_from(self, member: Member) -> frozenset[int]:
        """The key ids that `member` is not to use."""
        if not self._key_ids.is_known(member, time.monotonic()):  # Those of others are followed at theirs.
            self._claim_keys()
        return self._key_ids.taken_from(member)

    async def _look(self) -> None:
        """Look at the keys of all enclaves now, at most once a second, and for no longer than that."""
        now = time.monotonic()
        if self._looking is None or (self._looking.done() and now - self._looked >= _LOOK_SECONDS):
            self._looked = now
            self._looking = self._run(self._look_at_all())
        # All that come while it goes on wait for it, and it goes on if one of them does not.
        await asyncio.wait([self._looking])

    async def _look_at_all(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await asyncio.gather(*(self.look_at(member) for member in self.members))

    def _follow(self, addresses: Collection[Address]) -> None:
        """Begin with enclaves that are new, and let go of those that are gone."""
        for address in addresses:
            if address not in self._members:
                self._members[address] = self._make(address)
            if address not in self._watching:
                member = self._members[address]
                self._watching[address] = self._run(member.enclave.watch(functools.partial(self._taken_from, member)))
        for address in self._members.keys() - set(addresses):
            member = self._members.pop(address)
            member.leave()
            self._gone.append(member)
            self._run(self._let_go(member, self._watching.pop(address)))
        self._order()

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _order(self) -> None:
        self.members = tuple(sorted(self._members.values(), key=lambda member: member.id))

    async def _let_go(self, member: Member, watching: asyncio.Task[None]) -> None:
        """It gets no more requests; those that it holds may end."""
        end = time.monotonic() + self._deadline
        while member.outstanding and time.monotonic() < end:  # noqa: ASYNC110 -- seldom, and not urgent
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        watching.cancel()
        await member.connections.close()
        if member.address not in self._members:  # Otherwise it is back, and the metrics are its.
            member.enclave.forget()
