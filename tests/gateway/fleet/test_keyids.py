"""Key ids have one byte, so several enclaves can have the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from blindsight.problems import Problem
from gateway.enclave import keyids
from gateway.enclave.keyids import KeyIds
from tests.support.fleets import Enclave, exchange, fleet_of, sealed_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.enclave.member import Member

LATER = 1000.0
"""Seconds, after which a key id has been its enclave's for long."""
CALLERS = [f"192.0.2.{number}" for number in range(64)]


def enclave_of(member: Member) -> Any:
    return member.enclave


def claimed(members: Sequence[Member], gone: Sequence[Member] = (), *, now: float = 0.0) -> KeyIds:
    found = KeyIds()
    found.claim(members, gone, now)
    return found


async def test_an_enclave_keeps_an_id_that_another_comes_to_have_later() -> None:
    """Callers who sealed to the first have not verified the second, whichever comes first in the order."""
    for index in (0, 1):
        fleet, members = fleet_of(Enclave(1, 2), Enclave(3, 4))
        first, second = members[index], members[1 - index]
        found = claimed(fleet.members)
        shared, other = sorted(first.published_key_ids(0))
        enclave_of(second).publish(shared, 9)
        found.claim(fleet.members, (), LATER)
        assert found.owner(shared) is first
        assert found.owner(9) is second
        assert found.lead_to(first, LATER)
        assert not found.lead_to(second, LATER)
        assert shared in found.taken_from(second)
        assert found.taken_from(second) == {shared, other}
        assert not found.taken_from(first) & {shared, other}
        enclave_of(second).publish(10, 9)
        found.claim(fleet.members, (), LATER)
        assert found.lead_to(second, LATER)
        assert found.owner(shared) is first, "the second still decrypts with its replaced key"


async def test_an_id_that_two_come_to_have_together_is_nobodys() -> None:
    """Another gateway may have seen them in the other order, and have given out the key of the other one."""
    for together in ((1, 2, 1, 3), (1, 2, 7, 3)):
        fleet, (first, second) = fleet_of(Enclave(*together[:2]), Enclave(*together[2:]))
        found = claimed(fleet.members)
        enclave_of(second).publish(1, 3)
        found.claim(fleet.members, (), 9.9)
        assert found.owner(1) is None
        assert (found.owner(2), found.owner(3)) == (first, second)
        for member in (first, second):
            assert 1 in found.taken_from(member), "both replace it"
            assert not found.lead_to(member, 9.9)
        enclave_of(first).publish(4, 5)
        enclave_of(second).publish(6, 8)
        for now in (10.0, 200.0):
            found.claim(fleet.members, (), now)
            assert found.owner(1) is None, "both decrypt with their replaced keys"
            assert found.lead_to(first, now)
            assert found.lead_to(second, now)


async def test_a_contested_id_belongs_to_the_last_that_has_it() -> None:
    """With an enclave that ignores what it is told, when the other one's key is erased."""
    fleet, (one, other) = fleet_of(Enclave(1), Enclave(1))
    found = claimed(fleet.members)
    for now in (LATER, LATER * 2):
        found.claim(fleet.members, (), now)
        assert found.owner(1) is None
        assert not any(found.lead_to(member, now) for member in (one, other))
    enclave_of(one).publish(9)
    found.claim(fleet.members, (), LATER * 2)
    assert found.owner(1) is None, "it still decrypts with its replaced key"
    found.claim(fleet.members, (), LATER * 2 + 361)
    assert found.owner(1) is other


async def test_the_ids_of_an_enclave_that_has_ended_lead_to_none() -> None:
    """Callers who sealed to it have not verified the next one at its address, whichever ids that draws."""
    fleet, (restarted, other) = fleet_of(Enclave(1, 2), Enclave(3))
    found = claimed(fleet.members)
    enclave_of(restarted).publish(5, 6)  # Replaces both, then ends.
    found.claim(fleet.members, (), LATER)
    assert found.owner(1) is found.owner(5) is restarted
    enclave_of(restarted).instance = ("simulated", "the next one")
    enclave_of(restarted).publish(1, 7)
    enclave_of(other).publish(6)
    for now in (LATER, LATER + 149):
        found.claim(fleet.members, (), now)
        assert [found.owner(key_id) for key_id in (1, 2, 5, 6)] == [None] * 4
        assert found.owner(7) is restarted
        assert found.owner(3) is other
        assert {1, 2, 5, 6} <= found.taken_from(restarted), "it replaces its new key"
        assert 6 in found.taken_from(other)
    found.claim(fleet.members, (), LATER + 151)
    assert (found.owner(1), found.owner(6)) == (restarted, other)
    assert found.owner(2) is None


async def test_an_id_that_is_anothers_for_long_stays_its_own_when_one_that_had_it_too_ends() -> None:
    fleet, (settled, restarted) = fleet_of(Enclave(1), Enclave(2))
    found = claimed(fleet.members)
    enclave_of(restarted).publish(1)
    found.claim(fleet.members, (), LATER)
    enclave_of(restarted).instance = ("simulated", "the next one")
    enclave_of(restarted).publish(4)
    found.claim(fleet.members, (), LATER)
    assert found.owner(1) is settled


async def test_an_enclave_tells_of_replaced_keys_from_before_the_gateways_start() -> None:
    fleet, (one, other) = fleet_of(Enclave(1), Enclave(2))
    enclave_of(one).retired_key_ids = frozenset({8})
    found = claimed(fleet.members)
    assert found.owner(8) is one
    assert 8 in found.taken_from(other)
    enclave_of(one).retired_key_ids = frozenset()
    found.claim(fleet.members, (), 361)
    assert found.owner(8) is None


async def test_replaced_keys_of_an_enclave_that_has_left_do_not_hold_their_ids_for_ever() -> None:
    """What it told of them last stays as it was."""
    fleet, (left, other) = fleet_of(Enclave(1), Enclave(2))
    enclave_of(left).retired_key_ids = frozenset({8})
    found = claimed(fleet.members)
    left.leave()
    found.claim([other], [left], 0)
    assert found.owner(8) is left
    for now in (361, 362, 1000):
        found.claim([other], [left], now)
        assert found.taken_from(other) == frozenset()
    assert not left.key_ids(1000)


async def test_an_enclave_that_restarts_again_and_again_leaves_ids_to_others() -> None:
    fleet, (loops, other) = fleet_of(Enclave(0), Enclave(250))
    found = claimed(fleet.members)
    for number in range(1, 200):
        enclave_of(loops).instance = ("simulated", str(number))
        enclave_of(loops).publish(number)
        found.claim(fleet.members, (), number / 10)
    assert len(found.taken_from(other)) <= 17


async def test_an_enclave_that_is_away_or_gone_keeps_its_ids_for_a_while() -> None:
    fleet, (first, second) = fleet_of(Enclave(1), Enclave(2))
    found = claimed(fleet.members)
    enclave_of(first).known = None
    enclave_of(second).publish(1)
    found.claim(fleet.members, (), LATER)
    assert found.owner(1) is first
    found.claim([second], [first], LATER)
    assert found.owner(1) is first
    found.claim([second], [first], LATER + 361)
    assert found.owner(1) is second


async def test_two_addresses_of_one_enclave_share_its_ids() -> None:
    """As of a name with an IPv4 and an IPv6 address: it is not told to replace its keys, and both lead to it."""
    fleet, (one, other) = fleet_of(Enclave(1, 2), Enclave(1, 2))
    enclave_of(other).known = enclave_of(one).known
    found = claimed(fleet.members)
    owner = found.owner(1)
    for member in (one, other):
        assert found.lead_to(member, 0)
        assert found.taken_from(member) == frozenset()
    assert {fleet.offered(caller) for caller in CALLERS} == {one, other}
    left = other if owner is one else one
    assert owner is not None
    enclave_of(owner).known = None
    found.claim(fleet.members, (), LATER)
    assert found.owner(1) is left, "one address is lost"
    enclave_of(owner).known = enclave_of(left).known
    found.claim([owner], [left], LATER)
    assert found.owner(1) is owner, "the other one left"


async def test_one_that_publishes_anothers_keys_is_not_that_other() -> None:
    fleet, (genuine, copy) = fleet_of(Enclave(1, 2), Enclave(1, 2))
    enclave_of(copy).known.key_configs = enclave_of(genuine).known.key_configs
    found = claimed(fleet.members)
    assert found.owner(1) is None
    found = claimed([genuine])
    found.claim(fleet.members, (), LATER)
    assert found.owner(1) is genuine
    assert not found.lead_to(copy, LATER)


async def test_one_enclave_cannot_take_all_ids() -> None:
    fleet, (greedy, other) = fleet_of(Enclave(*range(250)), Enclave(251, 252))
    found = claimed(fleet.members)
    assert found.taken_from(other) == frozenset()
    assert not found.lead_to(greedy, 0), "its keys are not given out"
    assert {fleet.offered(caller) for caller in CALLERS} == {other}


async def test_a_fleet_offers_and_reaches_only_enclaves_with_ids_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyids, "_TOGETHER_SECONDS", 0)
    fleet, (first, second, third) = fleet_of(Enclave(1, 2), Enclave(3, 4), Enclave(5))
    fleet.offered(CALLERS[0])
    enclave_of(second).publish(2, 4)
    assert {fleet.offered(caller) for caller in CALLERS} == {first, third}
    for member in (first, second, third):
        assert fleet.reaches(member, enclave_of(member).known.key_configs) is (member is not second)
    for _ in range(3):
        assert cast("Any", await fleet.relay(sealed_for(2))) == first.address.port
    assert exchange(second).asked == 0
    await fleet.look_at(second)
    assert enclave_of(second).told == {1, 2, 5}
    before = enclave_of(second).known.key_configs
    enclave_of(second).publish(8, 9)
    assert {fleet.offered(caller) for caller in CALLERS} == {first, second, third}
    assert not fleet.reaches(second, before), "those that it had"
    assert fleet.reaches(second, enclave_of(second).known.key_configs)
    enclave_of(second).known = None
    assert not fleet.reaches(second, before)


async def test_a_message_to_a_contested_id_reaches_none() -> None:
    fleet, members = fleet_of(Enclave(1), Enclave(1), Enclave(2))
    with pytest.raises(Problem) as refusal:
        await fleet.relay(sealed_for(1))
    assert refusal.value.kind.code == "ohttp_key"
    assert sum(exchange(member).asked for member in members) == 0
