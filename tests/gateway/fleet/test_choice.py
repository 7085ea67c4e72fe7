"""Which enclave gets a request: members with a made-up state, in a real fleet."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from blindsight.problems import Problem
from gateway.enclave import fleet as module
from gateway.enclave.sources import Sources
from tests.support.fleets import Enclave, exchange, fleet_of, sealed_for

if TYPE_CHECKING:
    from gateway.enclave.fleet import Fleet


async def asked(fleet: Fleet, count: int) -> list[int]:
    """The ports that answer so many requests, one after the other."""
    return [cast("Any", await fleet.classify(b"photo", 5)) for _ in range(count)]


async def test_of_equals_each_is_asked_in_turn() -> None:
    fleet, _ = fleet_of(Enclave(1), Enclave(2), Enclave(3))
    ports = await asked(fleet, 9)
    assert {port: ports.count(port) for port in set(ports)} == {7501: 3, 7502: 3, 7503: 3}


async def test_who_has_the_least_to_do_is_asked() -> None:
    fleet, (busy, _) = fleet_of(Enclave(1), Enclave(2))
    with busy.busy(), busy.busy():
        assert await asked(fleet, 4) == [7502] * 4
    assert sorted(set(await asked(fleet, 4))) == [7501, 7502]


async def test_what_one_can_do_at_once_counts() -> None:
    """Eight requests held at the same time, with one worker and with three."""
    fleet, (small, large) = fleet_of(Enclave(1), Enclave(2, workers=3))
    gate = exchange(small).held = exchange(large).held = asyncio.Event()
    tasks = [asyncio.create_task(fleet.classify(b"photo", 5)) for _ in range(8)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (small.outstanding, large.outstanding) == (2, 6)
    gate.set()
    await asyncio.gather(*tasks)
    assert (small.outstanding, large.outstanding) == (0, 0)


@pytest.mark.parametrize("code", ["enclave_unavailable", "evidence_refused", "overloaded", "draining"])
async def test_another_is_asked_in_place_of_one_that_is_lost_or_full(code: str) -> None:
    fleet, (bad, _) = fleet_of(Enclave(1), Enclave(2))
    exchange(bad).refuses(code)
    assert await asked(fleet, 6) == [7502] * 6


async def test_at_most_two_get_the_same_photo() -> None:
    """It may be what ends them."""
    fleet, members = fleet_of(*(Enclave(number) for number in range(5)))
    for member in members:
        exchange(member).refuses("enclave_unavailable")
    with pytest.raises(Problem, match="as the test wants it"):
        await fleet.classify(b"photo", 5)
    assert sum(exchange(member).asked for member in members) == 2


@pytest.mark.parametrize("code", ["worker_lost", "not_an_image", "deadline_exceeded"])
async def test_what_may_be_the_photos_fault_is_not_tried_elsewhere(code: str) -> None:
    fleet, members = fleet_of(Enclave(1), Enclave(2))
    for member in members:
        exchange(member).refuses(code)
    with pytest.raises(Problem):
        await fleet.classify(b"photo", 5)
    assert sum(exchange(member).asked for member in members) == 1


async def test_one_that_failed_rests_and_for_longer_each_time() -> None:
    fleet, (bad, _) = fleet_of(Enclave(1), Enclave(2))
    exchange(bad).refuses("enclave_unavailable")
    await asked(fleet, 8)
    assert exchange(bad).asked == 1
    now = time.monotonic()
    for expected in (1.0, 2.0, 4.0):
        bad.failed(now)
        assert bad.rests(now + expected - 0.01)
        assert not bad.rests(now + expected + 0.01)
    for _ in range(60):
        bad.failed(now)
    assert not bad.rests(now + 30.01), "half a minute at most"
    bad.succeeded()
    bad.failed(now)
    assert not bad.rests(now + 0.51), "as after the first failure"


async def test_one_that_rests_is_asked_if_no_other_is_there() -> None:
    fleet, (bad, gone) = fleet_of(Enclave(1), Enclave(2))
    cast("Any", gone.enclave).known = None
    bad.failed(time.monotonic())
    assert await asked(fleet, 2) == [7501] * 2


async def test_without_any_the_reason_is_told() -> None:
    fleet, members = fleet_of(Enclave(1), Enclave(2))
    for member in members:
        cast("Any", member.enclave).known = None
    cast("Any", members[0].enclave).refusal = Problem("evidence_refused", "Another measurement.")
    for call in (fleet.classify(b"photo", 5), fleet.relay(sealed_for(1))):
        with pytest.raises(Problem):
            await call
    with pytest.raises(Problem, match="Another measurement"):
        _ = fleet.current


async def test_a_sealed_message_goes_to_the_enclave_of_its_key_and_to_no_other() -> None:
    fleet, (first, second) = fleet_of(Enclave(1, 2), Enclave(3, 4))
    for key_id in (4, 3, 4, 3):
        assert cast("Any", await fleet.relay(sealed_for(key_id))) == 7502
    exchange(second).refuses("enclave_unavailable")
    with pytest.raises(Problem, match="as the test wants it"):
        await fleet.relay(sealed_for(3))
    assert exchange(first).asked == 0


async def test_a_key_that_none_has_is_looked_for_once_a_second() -> None:
    fleet, (first, second) = fleet_of(Enclave(1), Enclave(2))
    cast("Any", second.enclave).hidden = (2, 9)
    assert cast("Any", await fleet.relay(sealed_for(9))) == 7502
    for _ in range(50):
        with pytest.raises(Problem) as refusal:
            await fleet.relay(sealed_for(77))
        assert refusal.value.kind.code == "ohttp_key"
    assert cast("Any", first.enclave).looks == 1
    assert cast("Any", first.enclave).attested == 0, "evidence takes more of the gateway's time"
    with pytest.raises(Problem) as refusal:
        await fleet.relay(b"short")
    assert refusal.value.kind.code == "bad_request"


async def test_a_replaced_key_leads_to_its_enclave_for_a_while() -> None:
    fleet, (_, second) = fleet_of(Enclave(1), Enclave(2))
    await fleet.relay(sealed_for(2))
    cast("Any", second.enclave).publish(8)
    assert cast("Any", await fleet.relay(sealed_for(2))) == 7502
    assert cast("Any", await fleet.relay(sealed_for(8))) == 7502
    now = time.monotonic()
    assert second.key_ids(now) == {2, 8}
    assert second.key_ids(now + 361) == {8}


async def test_a_caller_is_offered_the_same_enclave_each_time_and_callers_spread() -> None:
    fleet, members = fleet_of(Enclave(1), Enclave(2), Enclave(3))
    callers = [f"192.0.2.{number}" for number in range(120)]
    before = {caller: fleet.offered(caller) for caller in callers}
    counts = [sum(member is each for each in before.values()) for member in members]
    assert min(counts) > 20
    gone = members[1]
    cast("Any", gone.enclave).known = None
    after = {caller: fleet.offered(caller) for caller in callers}
    assert gone not in after.values()
    assert all(after[caller] is member for caller, member in before.items() if member is not gone), "others stay"


async def test_one_that_is_warm_is_offered_before_one_that_is_not() -> None:
    fleet, (cold, warm) = fleet_of(Enclave(1), Enclave(2))
    cast("Any", cold.enclave).ready = False
    assert {fleet.offered(str(number)) for number in range(20)} == {warm}
    assert set(await asked(fleet, 4)) == {7502}


async def test_an_enclave_is_found_by_its_id() -> None:
    fleet, members = fleet_of(Enclave(1), Enclave(2))
    assert [fleet.member(member.id) for member in members] == members
    with pytest.raises(Problem, match="no enclave with this id"):
        fleet.member("0" * 16)


async def test_what_is_for_one_release_goes_to_no_other() -> None:
    fleet, (old, *new) = fleet_of(Enclave(1), Enclave(2, release="new"), Enclave(3, release="new"))
    like = new[0].enclave.known
    ports = [cast("Any", await fleet.classify(b"photo", 5, like=like)) for _ in range(4)]
    assert sorted(ports) == [7502, 7502, 7503, 7503]
    for member in new:
        exchange(member).refuses("enclave_unavailable")
    with pytest.raises(Problem):
        await fleet.classify(b"photo", 5, like=like)
    cast("Any", new[0].enclave).known = cast("Any", new[1].enclave).known = None
    with pytest.raises(Problem):
        await fleet.classify(b"photo", 5, like=like)
    assert exchange(old).asked == 0


async def test_the_next_one_is_the_least_busy() -> None:
    fleet, (busy, idle) = fleet_of(Enclave(1, release="a"), Enclave(2, release="b"))
    with busy.busy(), busy.busy():
        assert cast("Any", fleet.next()).release == cast("Any", idle.enclave).release


async def test_a_stalled_enclave_does_not_hold_up_the_look_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.05)
    fleet, (stalled, other) = fleet_of(Enclave(1), Enclave(2))
    cast("Any", other.enclave).hidden = (2, 9)
    monkeypatch.setattr(stalled.enclave, "look", lambda _: asyncio.Event().wait())
    async with asyncio.timeout(5):
        assert cast("Any", await fleet.relay(sealed_for(9))) == 7502


async def test_callers_at_the_same_time_wait_for_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the first of them gives up."""
    fleet, (_, other) = fleet_of(Enclave(1), Enclave(2))
    gate, looks = asyncio.Event(), 0

    async def look(_: object) -> None:
        nonlocal looks
        looks += 1
        await gate.wait()
        cast("Any", other.enclave).publish(2, 9)

    monkeypatch.setattr(other.enclave, "look", look)
    first, *calls = [asyncio.create_task(fleet.relay(sealed_for(9))) for _ in range(4)]
    await asyncio.sleep(0.01)
    first.cancel()
    gate.set()
    assert cast("Any", await asyncio.gather(*calls)) == [7502] * 3
    assert looks == 1


async def test_one_address_does_not_know_of_another_and_all_keys_reach_it() -> None:
    fleet, (first, _) = fleet_of(Enclave(1), Enclave(2))
    fleet._sources = Sources((first.address,), ())
    assert fleet.reaches(first, b"whatever it says")
