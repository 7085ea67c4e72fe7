"""Fleets whose enclaves are made up, for tests of the choice between them."""

from __future__ import annotations

import asyncio
import secrets
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from blindsight.problems import Problem
from blindsight.sealing import keyconfig, ohttp
from blindsight.sealing.kem import X25519_HKDF_SHA256
from blindsight.wire.address import Address
from gateway.enclave.fleet import Fleet
from gateway.enclave.member import Member
from gateway.enclave.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class Enclave:
    """What a member is told of its enclave."""

    def __init__(self, *key_ids: int, workers: int = 1, release: str = "old") -> None:
        self.instance = ("simulated", secrets.token_hex(8))
        self.workers = workers
        self.ready = True
        self.release = release
        self.refusal = Problem("enclave_unavailable", "It is away.")
        self.confinement: dict[str, Any] | None = None
        self.attested = 0
        self.retired_key_ids: frozenset[int] = frozenset()
        self.looks = 0
        self.forgotten = False
        self.told: frozenset[int] = frozenset()
        """The key ids of others, as it was told at the last look."""
        self.policy: object = None
        self.hidden: tuple[int, ...] | None = None
        """The key ids that the next look at it shows."""
        self.known: Any = None
        self.publish(*key_ids)

    def publish(self, *key_ids: int) -> None:
        configs = [keyconfig.offered(key_id, secrets.token_bytes(32), X25519_HKDF_SHA256) for key_id in key_ids]
        self.known = SimpleNamespace(
            key_configs=keyconfig.encode_list(configs), is_like=lambda other: other.release == self.release
        )
        self.known.release = self.release
        self.known.instance = self.instance

    @property
    def current(self) -> Any:
        return self.known

    async def attest(self) -> None:
        self.attested += 1

    async def look(self, taken: Collection[int] = ()) -> None:
        self.looks += 1
        self.told = frozenset(taken)
        if self.hidden is not None:
            self.publish(*self.hidden)

    async def watch(self, taken: Callable[[], Collection[int]]) -> None:
        self.taken = taken
        await asyncio.Event().wait()

    def use(self, policy: object) -> None:
        self.policy = policy

    def forget(self) -> None:
        self.forgotten = True


class Exchange:
    """Answers with `number`, the port of its enclave, or as `does` does."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked = 0
        self.does: Callable[[], None] | None = None
        self.held: asyncio.Event | None = None

    async def classify(self, *_: object, **__: object) -> int:
        return await self._answer()

    async def relay(self, *_: object, **__: object) -> int:
        return await self._answer()

    async def _answer(self) -> int:
        self.asked += 1
        if self.held is not None:
            await self.held.wait()
        if self.does is not None:
            self.does()
        return self.number

    def refuses(self, code: str) -> None:
        def refuse() -> None:
            raise Problem(code, "as the test wants it")

        self.does = refuse


class Connections:
    closed = False

    async def close(self) -> None:
        self.closed = True


def fleet_of(*enclaves: Enclave) -> tuple[Fleet, list[Member]]:
    """A fleet of these, at the ports from 7501 on, and its members in the same order."""
    addresses = [Address("tcp", host="127.0.0.1", port=7501 + index) for index in range(len(enclaves))]
    by_address = dict(zip(addresses, enclaves, strict=True))

    def make(address: Address) -> Member:
        parts: Any = (Connections(), by_address[address], Exchange(address.port))
        return Member(address, *parts)

    fleet = Fleet(Sources(tuple(addresses), ()), make, cast("Any", None), deadline=5)
    return fleet, [next(member for member in fleet.members if member.address == address) for address in addresses]


def exchange(member: Member) -> Exchange:
    return cast("Exchange", member.exchange)


def sealed_for(key_id: int) -> bytes:
    """A message that names this key."""
    config = keyconfig.offered(key_id, bytes(31) + b"\x09", X25519_HKDF_SHA256)
    return ohttp.encapsulate(config, b"request")[0]
