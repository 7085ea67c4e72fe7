"""Where the enclaves are: the setting, names in the DNS, and what comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from blindsight.errors import AddressError
from blindsight.problems import Problem
from blindsight.wire.address import Address
from gateway.enclave import fleet as module
from gateway.enclave import keyids, sources
from gateway.enclave.fleet import Fleet
from gateway.enclave.member import Member
from gateway.enclave.sources import Named, Sources
from tests.support.fleets import Connections, Enclave, Exchange, sealed_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def at(host: str) -> Address:
    return Address("tcp", host=host, port=7500)


def test_addresses_and_names_are_listed_with_commas() -> None:
    found = Sources.parse("tcp://10.0.0.1:7500, vsock://16:7500,dns://enclaves.blindsight.svc:7500")
    assert found.listed == (at("10.0.0.1"), Address("vsock", cid=16, port=7500))
    assert found.names == (Named("enclaves.blindsight.svc", 7500),)
    assert not found.single
    assert Sources.parse("unix:///run/enclave.sock").single
    assert not Sources.parse("dns://enclaves:7500").single


@pytest.mark.parametrize(
    "text",
    ["", ",", "tcp://a:1,", "tcp://a:1,tcp://a:1", "dns://a:1,dns://a:1", "dns://a", "dns://:1", "dns:a:1",
     "vsock://-1:7500", "tcp://a:1 tcp://b:1", "http://a:1", "dns://a:99999"],
)  # fmt: skip
def test_what_is_no_list_of_addresses_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        Sources.parse(text)


async def test_a_name_is_looked_up_for_real() -> None:
    assert at("127.0.0.1") in await sources.resolved("localhost", 7500)


class Names:
    """A resolver whose answers the test writes."""

    def __init__(self, *hosts: str) -> None:
        self.hosts: tuple[str, ...] | None = hosts

    async def resolve(self, name: str, port: int) -> frozenset[Address]:
        assert (name, port) == ("enclaves", 7500)
        if self.hosts is None:
            raise OSError("no answer")
        return frozenset(map(at, self.hosts))


async def test_a_name_that_cannot_be_looked_up_keeps_its_addresses() -> None:
    names = Names("10.0.0.1")
    found = Sources((at("10.0.0.9"),), (Named("enclaves", 7500),), resolve=names.resolve)
    assert await found.addresses() == {at("10.0.0.1"), at("10.0.0.9")}
    names.hosts = None
    assert await found.addresses() == {at("10.0.0.1"), at("10.0.0.9")}
    names.hosts = ()
    assert await found.addresses() == {at("10.0.0.9")}


@contextlib.asynccontextmanager
async def following(names: Names, make: Callable[[Address], Member]) -> AsyncIterator[Fleet]:
    """A fleet that follows the enclaves of these names."""
    found = Sources((), (Named("enclaves", 7500),), resolve=names.resolve)
    fleet = Fleet(found, make, cast("Any", None), deadline=5)
    watching = asyncio.create_task(fleet.watch())
    try:
        yield fleet
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def test_enclaves_come_and_go_with_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that goes gets no new request, and ends those that it holds before its connections are closed."""
    monkeypatch.setattr(module, "_NAMES_SECONDS", 0.01)
    monkeypatch.setattr(module, "_DRAIN_POLL_SECONDS", 0.01)
    names = Names("10.0.0.1", "10.0.0.2")
    made: dict[str, Member] = {}

    def make(address: Address) -> Member:
        parts: Any = (Connections(), Enclave(len(made) + 1), Exchange(int(address.host[-1])))
        made[address.host] = Member(address, *parts)
        return made[address.host]

    found = Sources((), (Named("enclaves", 7500),), resolve=names.resolve)
    fleet = Fleet(found, make, cast("Any", None), deadline=5)
    assert not fleet.ready
    assert fleet.refusal.kind.code == "enclave_unavailable"
    watching = asyncio.create_task(fleet.watch())
    try:
        await _until(lambda: len(fleet.members) == 2)
        old = made["10.0.0.1"]
        gate = cast("Any", old.exchange).held = asyncio.Event()
        holds = [asyncio.create_task(fleet.classify(b"photo", 5)) for _ in range(2)]
        await _until(lambda: old.outstanding == 1)

        names.hosts = ("10.0.0.2", "10.0.0.3")
        await _until(lambda: {member.address.host for member in fleet.members} == {"10.0.0.2", "10.0.0.3"})
        for _ in range(6):
            assert cast("Any", await fleet.classify(b"photo", 5)) != 1
        await asyncio.sleep(0.05)
        assert not cast("Any", old.connections).closed, "it still holds one"
        gate.set()
        await asyncio.gather(*holds)
        await _until(lambda: cast("Any", old.connections).closed)
        assert cast("Any", old.enclave).forgotten
        assert not cast("Any", made["10.0.0.2"].connections).closed
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def test_one_that_comes_back_while_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new policy judges it while it leaves, and the metrics of its address are those of the one that came back."""
    monkeypatch.setattr(module, "_NAMES_SECONDS", 0.01)
    monkeypatch.setattr(module, "_DRAIN_POLL_SECONDS", 0.01)
    names = Names("10.0.0.1")
    made: list[Member] = []

    def make(address: Address) -> Member:
        parts: Any = (Connections(), Enclave(1), Exchange(1))
        made.append(Member(address, *parts))
        return made[-1]

    async with following(names, make) as fleet:
        await _until(lambda: len(fleet.members) == 1)
        (old,) = made
        gate = cast("Any", old.exchange).held = asyncio.Event()
        held = asyncio.create_task(fleet.classify(b"photo", 5))
        await _until(lambda: old.outstanding == 1)
        names.hosts = ()
        await _until(lambda: not fleet.members)
        policy: Any = object()
        fleet.use(policy)
        assert cast("Any", old.enclave).policy is policy
        names.hosts = ("10.0.0.1",)
        await _until(lambda: len(made) == 2)
        gate.set()
        await held
        await _until(lambda: len(fleet._tasks) == 1)  # What watches the one that came back; the other has ended.
        assert cast("Any", old.connections).closed
        assert not cast("Any", old.enclave).forgotten, "its metrics would be"


async def _until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- what is awaited is no event
            await asyncio.sleep(0.01)


async def test_a_mistake_while_following_names_does_not_end_the_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NAMES_SECONDS", 0.01)
    names = Names("10.0.0.1")
    made: list[Member] = []

    def make(address: Address) -> Member:
        if address.host == "10.0.0.66":
            raise ZeroDivisionError
        parts: Any = (Connections(), Enclave(1), Exchange(1))
        made.append(Member(address, *parts))
        return made[-1]

    fleet = Fleet(Sources((), (Named("enclaves", 7500),), resolve=names.resolve), make, cast("Any", None), deadline=5)
    watching = asyncio.create_task(fleet.watch())
    try:
        await _until(lambda: fleet.ready)
        names.hosts = ("10.0.0.1", "10.0.0.66")
        await asyncio.sleep(0.05)
        assert not watching.done()
        assert fleet.ready
        names.hosts = ("10.0.0.1", "10.0.0.2")
        await _until(lambda: len(fleet.members) == 2)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    assert not fleet._tasks, "nothing goes on behind it"


async def test_a_message_to_an_enclave_that_is_gone_reaches_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its key's id may be another's, too. Its caller is told to verify anew; that other is not offered for a while."""
    monkeypatch.setattr(module, "_NAMES_SECONDS", 0.01)
    monkeypatch.setattr(keyids, "_TOGETHER_SECONDS", 0)
    names = Names("10.0.0.1", "10.0.0.2")
    made: dict[str, Member] = {}

    def make(address: Address) -> Member:
        if address.host in made:
            enclave: Any = made[address.host].enclave
        else:
            enclave = Enclave(8 if made else 7)
        made[address.host] = Member(address, cast("Any", Connections()), enclave, cast("Any", Exchange(1)))
        return made[address.host]

    async with following(names, make) as fleet:
        await _until(lambda: len(fleet.members) == 2)
        gone, other = sorted(made.values(), key=lambda member: 7 not in member.published_key_ids(time.monotonic()))
        await fleet.relay(sealed_for(7))
        names.hosts = (other.address.host,)
        await _until(lambda: fleet.members == (other,))
        cast("Any", other.enclave).publish(7, 9)
        with pytest.raises(Problem) as refusal:
            await fleet.relay(sealed_for(7))
        assert refusal.value.kind.code == "ohttp_key"
        await fleet.relay(sealed_for(9))
        assert cast("Any", other.exchange).asked == 1
        names.hosts = (gone.address.host, other.address.host)
        await _until(lambda: len(fleet.members) == 2)
        back = made[gone.address.host]
        assert back is not gone
        await fleet.relay(sealed_for(7))
        assert cast("Any", back.exchange).asked == 1, "it is there again, with its key"


async def test_a_name_that_cannot_be_looked_up_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    names = Names()
    found = Sources((), (Named("enclaves", 7500),), resolve=names.resolve)
    for hosts, lines in ((None, 1), (None, 1), ((), 1), (None, 2)):
        names.hosts = hosts
        await found.addresses()
        assert caplog.text.count("enclaves not looked up") == lines
