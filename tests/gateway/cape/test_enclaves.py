"""Which enclave a request about an account gets, and a client's session: made-up enclaves, a real store."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import delete

from blindsight.errors import CapeError
from blindsight.wire.address import Address
from gateway.cape import accountroot
from gateway.cape.enclave import EnclaveSession
from gateway.cape.enclaves import CapeEnclaves
from gateway.cape.schema import account_root
from gateway.cape.store import Store
from gateway.enclave.member import Member
from tests.support.problems import CANARY
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OURS, THEIRS = "0a" * 16, "0b" * 16
OLD, NEW = object(), object()
"""Releases of the policy, in this order."""


@dataclass
class Remote:
    """One enclave's interface."""

    name: str
    refusal: CapeError | None = None
    stalled: bool = False
    asked: list[str] = field(default_factory=list)

    async def user_key(self, _: bytes) -> bytes:
        return await self._answer("user_key")

    async def create_account(self, *_: object) -> bytes:
        return await self._answer("create_account")

    async def commit(self, _: bytes) -> None:
        await self._answer("commit")

    async def open(self, **_: str | bytes) -> EnclaveSession:
        await self._answer("open")
        return EnclaveSession(cast("Any", None), cast("Any", SimpleNamespace(close=lambda: None)))

    async def _answer(self, what: str) -> bytes:
        self.asked.append(what)
        if self.stalled:
            await asyncio.Event().wait()
        if self.refusal is not None:
            raise self.refusal
        return self.name.encode()


class World:
    """Enclaves at the ports from 7501 on."""

    def __init__(self, store: Store, *enclaves: tuple[str | None, object], single: bool = False) -> None:
        """`enclaves`: root and release of each; None instead of a release is an enclave that is not verified."""
        self.remotes = [Remote(chr(ord("a") + index)) for index in range(len(enclaves))]
        self.members = [member(index, *each) for index, each in enumerate(enclaves)]
        self.fleet = SimpleNamespace(
            members=tuple(self.members), is_single=single, policy=SimpleNamespace(releases=(OLD, NEW))
        )
        self.enclaves = CapeEnclaves(cast("Any", self.fleet), store, cast("Any", None), deadline=0.4)
        for each, remote in zip(self.members, self.remotes, strict=True):
            self.enclaves._remotes[each] = cast("Any", remote)

    async def asked(self, count: int = 1) -> str:
        """The names of the enclaves that answer, one after the other."""
        return "".join([(await self.enclaves.user_key(b"record")).decode() for _ in range(count)])


def member(index: int, root: str | None, release: object) -> Member:
    known = release and SimpleNamespace(verified=SimpleNamespace(release=release))
    enclave = SimpleNamespace(account_root=root, known=known, ready=True, workers=1)
    parts: Any = (None, enclave, None)
    return Member(Address("tcp", host="127.0.0.1", port=7501 + index), *parts)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    await store.upgrade()
    yield store
    await store.close()


async def test_enclaves_of_another_secret_are_not_asked(store: Store, caplog: pytest.LogCaptureFixture):
    await store.adopt_account_root(OURS)
    world = World(store, (THEIRS, OLD), (OURS, OLD), (None, OLD), (THEIRS, OLD))
    assert set(await world.asked(8)) == {"b"}
    told = [record.enclave for record in caplog.records if record.levelno == logging.ERROR]
    assert sorted(told) == sorted([world.members[0].id, world.members[3].id]), "each once"


async def test_the_first_answer_decides_whose_records_the_store_has(store: Store):
    world = World(store, (OURS, OLD), (THEIRS, OLD))
    first = await world.asked()
    assert await store.account_root() == {"a": OURS, "b": THEIRS}[first]
    assert set(await world.asked(6)) == {first}
    other = World(store, (OURS, OLD), (THEIRS, OLD))
    assert set(await other.asked(6)) == {first}, "at every gateway"


async def test_what_another_gateway_decided_meanwhile_counts(store: Store):
    """A record of the other secret is never returned: the others could not open it."""
    world = World(store, (OURS, OLD), (THEIRS, OLD))
    (first,) = [index for index, each in enumerate(world.members) if each is world.enclaves._in_order("")[0]]
    other = (THEIRS, OURS)[first]
    original = world.remotes[first].create_account

    async def late(*given: object) -> bytes:
        await store.adopt_account_root(other)
        return await original(*given)

    world.remotes[first].create_account = late  # type: ignore[method-assign]
    assert await world.enclaves.create_account("ada", b"", "") == "ba"[first].encode()


async def test_one_enclave_of_an_earlier_release_is_asked(store: Store):
    assert await World(store, (None, OLD), single=True).asked(2) == "aa"


async def test_a_single_one_of_another_secret_is_not(store: Store):
    await store.adopt_account_root(OURS)
    world = World(store, (THEIRS, OLD), single=True)
    with pytest.raises(CapeError) as refused:
        await world.asked()
    assert refused.value.code == "damaged_record"
    assert world.remotes[0].asked == []
    assert "another root secret" in world.enclaves.notice


@pytest.mark.parametrize("code", ["enclave_unavailable", "overloaded"])
async def test_another_is_asked_in_place_of_one_that_is_lost_or_full(store: Store, code: str):
    world = World(store, (OURS, OLD), (OURS, OLD), (OURS, OLD))
    lost = world.enclaves._in_order("")[0]
    world.remotes[world.members.index(lost)].refusal = CapeError(code, "as the test wants it")
    for _ in range(4):
        await world.asked()
    rests = code == "enclave_unavailable"
    assert len(world.remotes[world.members.index(lost)].asked) == (1 if rests else 4)


async def test_what_all_would_refuse_is_asked_once(store: Store):
    world = World(store, (OURS, OLD), (OURS, OLD))
    for remote in world.remotes:
        remote.refusal = CapeError("token_revoked", "it is")
    with pytest.raises(CapeError, match="it is"):
        await world.asked()
    assert sum(len(remote.asked) for remote in world.remotes) == 1


async def test_two_at_most_are_asked(store: Store):
    world = World(store, *[(OURS, OLD)] * 4)
    for remote in world.remotes:
        remote.refusal = CapeError("enclave_unavailable", "gone")
    with pytest.raises(CapeError):
        await world.asked()
    assert sum(len(remote.asked) for remote in world.remotes) == 2


async def test_a_stalled_one_leaves_time_for_another(store: Store):
    world = World(store, (OURS, OLD), (OURS, OLD))
    stalled = world.enclaves._in_order("")[0]
    world.remotes[world.members.index(stalled)].stalled = True
    async with asyncio.timeout(2):
        assert await world.asked() == "ba"[world.members.index(stalled)]


async def test_the_first_release_of_the_policy_is_used_while_it_is_there(store: Store):
    """Clients that pinned it cannot ask for another enclave."""
    world = World(store, (OURS, NEW), (OURS, NEW), (OURS, OLD))
    assert await world.asked(4) == "cccc"
    world.remotes[2].refusal = CapeError("overloaded", "full")
    assert set(await world.asked(4)) <= {"a", "b"}
    world.remotes[2].refusal = None
    world.members[2].enclave.known = None  # type: ignore[misc]
    assert set(await world.asked(4)) <= {"a", "b"}


async def test_all_are_told_of_a_stored_record(store: Store):
    """Also if one of them is stalled or refuses, which the caller is told afterwards."""
    world = World(store, (OURS, OLD), (OURS, NEW), (THEIRS, OLD), (OURS, OLD))
    await store.adopt_account_root(OURS)
    world.remotes[0].stalled = True
    async with asyncio.timeout(2):
        with pytest.raises(CapeError) as refused:
            await world.enclaves.commit(b"record")
    assert refused.value.code == "enclave_unavailable"
    assert [remote.asked for remote in world.remotes] == [["commit"], ["commit"], [], ["commit"]]


async def test_sessions_of_one_function_share_an_enclave_until_it_has_more_to_do(store: Store):
    world = World(store, *[(OURS, OLD)] * 3)
    async with await world.enclaves.open(function_id="f"):
        (first,) = [index for index, each in enumerate(world.members) if each.sessions]
        await (await world.enclaves.open(function_id="f")).__aexit__(None, None, None)
        assert len(world.remotes[first].asked) == 1, "it has more to do than the others"
    assert [each.sessions for each in world.members] == [0, 0, 0]
    for _ in range(3):
        async with await world.enclaves.open(function_id="f"):
            assert world.members[first].sessions == 1
    near = {function: world.enclaves._in_order(function)[0].id for function in map(str, range(64))}
    assert len(set(near.values())) == 3, "functions are spread"


async def test_a_session_that_was_not_opened_does_not_count(store: Store):
    world = World(store, (OURS, OLD), (OURS, OLD))
    for remote in world.remotes:
        remote.refusal = CapeError("enclave_unavailable", "gone")
    with pytest.raises(CapeError):
        await world.enclaves.open(function_id="f")
    assert [each.sessions for each in world.members] == [0, 0]


@pytest.mark.parametrize("how", ["stalled", "overloaded"])
async def test_one_that_does_not_answer_does_not_hide_another_that_opens_the_records(store: Store, how: str):
    """The store does not say yet whose records it has, as after a restore."""
    await store.add_account("ada", b"k" * 32, b"record")
    for index in (0, 1):
        world = World(store, (OURS, OLD), (OURS, OLD))
        world.remotes[index].stalled = how == "stalled"
        world.remotes[index].refusal = CapeError("overloaded", "full") if how == "overloaded" else None
        await world.enclaves._root.look()
        assert await store.account_root() == OURS
        await store._database.write(lambda connection: connection.execute(delete(account_root)).close())


async def test_a_store_whose_enclaves_do_not_answer_is_looked_at_again(store: Store):
    await store.add_account("ada", b"k" * 32, b"record")
    world = World(store, (OURS, OLD))
    world.remotes[0].refusal = CapeError("overloaded", "full")
    with pytest.raises(CapeError, match="full"):
        await world.enclaves._root.look()
    world.remotes[0].refusal = None
    await world.enclaves._root.look()
    assert await store.account_root() == OURS


async def test_an_enclave_that_names_another_secret_each_time_fills_no_memory(store: Store):
    """Its status is not authenticated: the host can write anything into it."""
    await store.add_account("ada", b"k" * 32, b"record")
    world = World(store, (OURS, OLD))
    world.remotes[0].refusal = CapeError("damaged_record", "another secret")
    for number in range(50):
        world.members[0].enclave.account_root = f"{number:032x}"
        await world.enclaves._root.look()
    assert len(world.enclaves._root._refused) == 1


@pytest.mark.parametrize("how", ["refused", "cancelled"])
async def test_a_session_ends_if_the_store_does_not_take_its_enclaves_secret(
    store: Store, how: str, monkeypatch: pytest.MonkeyPatch
):
    closed = []

    async def open_session(**_: str | bytes) -> EnclaveSession:
        writer = SimpleNamespace(close=lambda: closed.append(1))
        return EnclaveSession(cast("Any", None), cast("Any", writer))

    async def adopt(_: str) -> str:
        if how == "refused":
            raise CapeError("overloaded", "the store is away")
        return await asyncio.Event().wait()  # type: ignore[return-value] -- it never ends

    world = World(store, (OURS, OLD))
    world.remotes[0].open = open_session  # type: ignore[method-assign]
    monkeypatch.setattr(store, "adopt_account_root", adopt)
    opening = asyncio.create_task(world.enclaves.open(function_id="f"))
    await asyncio.sleep(0.1)
    opening.cancel()
    with pytest.raises((CapeError, asyncio.CancelledError)):
        await opening
    assert closed == [1]
    assert (world.members[0].sessions, world.members[0].outstanding) == (0, 0)


async def test_a_mistake_does_not_end_the_watching(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(accountroot, "_LOOK_SECONDS", 0.01)
    world = World(store, (OURS, OLD))
    looks = []

    async def account_root() -> str | None:
        looks.append(1)
        raise RuntimeError(CANARY)

    monkeypatch.setattr(store, "account_root", account_root)
    watching = asyncio.create_task(world.enclaves.watch())
    await asyncio.to_thread(wait_until, "three looks", lambda: len(looks) >= 3)
    assert not watching.done()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert "account records" in caplog.text
