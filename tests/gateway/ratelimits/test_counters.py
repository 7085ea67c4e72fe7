"""Counters in memory and in a real Redis: the same behaviour, exact at the limit, bounded, independent of the clock."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from gateway.metrics import Metrics
from gateway.ratelimits.local import LocalCounters
from gateway.ratelimits.policy import parse
from gateway.ratelimits.shared import PREFIX, RedisCounters, SharedCounters
from tests.support.redis import running_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.ratelimits.policy import Limit
    from gateway.ratelimits.windows import Counters, Reading
    from tests.support.redis import RunningRedis

(TEN,) = parse("10/minute", "requests")
(SECOND,) = parse("4/second", "requests")
(QUOTA,) = parse("100/day", "images")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRedis]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "redis", "unix socket"])
async def counters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Counters]:
    # A machine that is busy with other tests is not a Redis that is gone.
    monkeypatch.setattr("gateway.ratelimits.shared.ANSWER_SECONDS", 10)
    monkeypatch.setattr("gateway.ratelimits.shared.PLACE_SECONDS", 30)
    if request.param == "memory":
        yield LocalCounters()
        return
    server: RunningRedis = request.getfixturevalue("redis")
    with server.client() as client:
        client.flushall()
    shared = RedisCounters(server.url if request.param == "redis" else f"unix://{server.socket}?db=0")
    yield SharedCounters(shared, Unused(), Metrics().rate_limits_local)
    await shared.close()


class Unused(LocalCounters):
    """The counters that are used only without Redis."""

    async def take(self, limit: Limit, caller: str, cost: int) -> Reading:
        raise AssertionError("Redis is not used")

    look = take


async def test_of_100_at_once_exactly_the_limit_is_admitted(counters: Counters) -> None:
    readings = await asyncio.gather(*(counters.take(TEN, "address:a", 1) for _ in range(100)))
    assert sum(reading.admitted for reading in readings) == 10
    assert min(reading.remaining for reading in readings) == 0
    assert all(0 < reading.wait <= 120 for reading in readings if not reading.admitted)


async def test_of_100_at_once_in_two_gateways_exactly_the_limit_is_admitted(
    redis: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.ratelimits.shared.ANSWER_SECONDS", 10)
    shared = [RedisCounters(redis.url) for _ in range(2)]
    gateways = [SharedCounters(each, Unused(), Metrics().rate_limits_local) for each in shared]
    for limit, amount in ((TEN, 10), (QUOTA, 100)):
        taken = (gateway.take(limit, "token:two", 1) for gateway in gateways * 75)
        assert sum(reading.admitted for reading in await asyncio.gather(*taken)) == amount
    await asyncio.gather(*(each.close() for each in shared))


async def test_a_request_counts_once_while_another_gateway_gives_a_restarted_redis_its_scripts(
    redis: RunningRedis,
) -> None:
    counters = RedisCounters(redis.url)
    with redis.client() as client:
        client.flushall()
        await counters.take(TEN, "address:scripts", 1)
        client.script_flush()
        client.script_load(counters._acquire.script)
    assert (await counters.take(TEN, "address:scripts", 1)).remaining == 8
    assert (await counters.take(TEN, "address:scripts", 1)).remaining == 7
    with redis.client() as client:
        client.script_flush()
    assert (await counters.take(TEN, "address:scripts", 1)).remaining == 6
    assert (await counters.take(QUOTA, "token:scripts", 1)).remaining == 99
    await counters.close()


async def test_of_100_images_at_once_exactly_the_quota_is_admitted(counters: Counters) -> None:
    readings = await asyncio.gather(*(counters.take(QUOTA, "token:a", 1) for _ in range(150)))
    assert sum(reading.admitted for reading in readings) == 100


async def test_a_refused_batch_uses_nothing_up(counters: Counters) -> None:
    assert (await counters.take(QUOTA, "token:a", 64)).remaining == 36
    refused = await counters.take(QUOTA, "token:a", 64)
    assert (refused.admitted, refused.remaining) == (False, 36)
    assert 86000 < refused.wait <= 86400
    assert not (await counters.take(QUOTA, "token:b", 101)).admitted
    assert (await counters.take(QUOTA, "token:a", 36)).remaining == 0
    assert not (await counters.look(QUOTA, "token:a", 1)).admitted


async def test_a_batch_that_does_not_fit_refuses_no_image_that_does(counters: Counters) -> None:
    """It was counted for an instant, and a smaller one that came just then got `quota_exceeded`."""
    await counters.take(QUOTA, "token:a", 50)
    taken = [counters.take(QUOTA, "token:a", cost) for _ in range(25) for cost in (64, 1)]
    readings = await asyncio.gather(*taken)
    assert [reading.admitted for reading in readings] == [False, True] * 25
    assert (await counters.look(QUOTA, "token:a", 1)).remaining == 25


async def test_images_are_not_given_back_to_a_window_that_began_later(redis: RunningRedis) -> None:
    """A count below zero would be images beyond the quota."""
    counters = RedisCounters(redis.url)
    await counters.take(QUOTA, "token:later", 3)
    given = (counters.give_back(QUOTA, "token:later", 2) for _ in range(8))
    await asyncio.gather(*given)
    assert (await counters.look(QUOTA, "token:later", 1)).remaining <= 100
    with redis.client() as client:
        client.delete(*client.keys("*token:later*"))
    await counters.give_back(QUOTA, "token:later", 2)
    assert (await counters.look(QUOTA, "token:later", 1)).remaining == 100
    await counters.close()


async def test_what_is_given_back_does_not_begin_the_window_anew(counters: Counters) -> None:
    (short,) = parse("4/2 seconds", "images")
    await counters.take(short, "token:w", 2)
    await asyncio.sleep(0.3)
    await counters.give_back(short, "token:w", 2)
    assert (await counters.take(short, "token:w", 1)).until_more < 1.8


async def test_what_is_given_back_can_be_used(counters: Counters) -> None:
    await counters.take(QUOTA, "token:a", 100)
    await counters.give_back(QUOTA, "token:a", 30)
    assert (await counters.look(QUOTA, "token:a", 30)).admitted
    assert not (await counters.look(QUOTA, "token:a", 31)).admitted
    await counters.give_back(QUOTA, "token:other", 30)
    assert (await counters.look(QUOTA, "token:other", 1)).remaining == 100


async def test_callers_have_limits_of_their_own(counters: Counters) -> None:
    for _ in range(11):
        await counters.take(TEN, "address:a", 1)
    assert (await counters.take(TEN, "address:b", 1)).remaining == 9


async def test_the_window_slides(counters: Counters) -> None:
    """A caller that waits as long as it is told gets its next request; one that does not, does not."""
    for _ in range(4):
        assert (await counters.take(SECOND, "address:a", 1)).admitted
    refused = await counters.take(SECOND, "address:a", 1)
    assert not refused.admitted
    assert 0.5 < refused.wait <= 2
    await asyncio.sleep(refused.wait / 2)
    assert not (await counters.take(SECOND, "address:a", 1)).admitted
    await asyncio.sleep(refused.wait / 2 + 0.05)
    assert (await counters.take(SECOND, "address:a", 1)).admitted
    await asyncio.sleep(2.1)
    assert (await counters.take(SECOND, "address:a", 4)).admitted


@pytest.mark.parametrize("jump", [-86400.0, 86400.0 * 60])
async def test_a_jump_of_the_clock_changes_nothing(
    counters: Counters, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    for _ in range(10):
        await counters.take(TEN, "address:a", 1)
    await counters.take(QUOTA, "token:a", 100)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert not (await counters.take(TEN, "address:a", 1)).admitted
    refused = await counters.take(QUOTA, "token:a", 1)
    assert not refused.admitted
    assert 86000 < refused.wait <= 86400


async def test_a_redis_whose_clock_was_set_back_blocks_callers_no_longer_than_a_window(redis: RunningRedis) -> None:
    """Its keys then live for longer than they were meant to."""
    counters = RedisCounters(redis.url)
    for _ in range(11):
        await counters.take(TEN, "address:back", 1)
    await counters.take(QUOTA, "address:back", 100)
    with redis.client() as client:
        for key in client.keys("*address:back*"):
            client.pexpire(key, 10 * 86_400_000)
    await counters.take(TEN, "address:back", 1)
    await counters.take(QUOTA, "address:back", 1)
    assert (await counters.take(TEN, "address:back", 1)).admitted
    with redis.client() as client:
        assert client.pttl(f"{PREFIX}:{QUOTA.key('address:back')}") <= QUOTA.seconds * 1000
    await counters.close()


async def test_a_flood_of_addresses_takes_bounded_memory_and_displaces_no_token() -> None:
    clock = 0.0
    counters = LocalCounters(most=1000, clock=lambda: clock)
    await counters.take(QUOTA, "token:a", 100)
    tracemalloc.start()
    for number in range(20_000):
        await counters.take(TEN, f"address:{number}", 1)
        await counters.look(QUOTA, f"address:{number}", 1)
        await counters.take(QUOTA, f"address:{number}", 1)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(counters) <= 2001
    assert grown < 2_000_000
    assert not (await counters.look(QUOTA, "token:a", 1)).admitted


async def test_outdated_counters_are_removed() -> None:
    clock = 0.0
    counters = LocalCounters(clock=lambda: clock)
    for number in range(1000):
        await counters.take(TEN, f"address:{number}", 1)
    clock = 121.0
    for number in range(500):
        await counters.take(TEN, f"address:new{number}", 1)
    assert len(counters) == 500


async def test_a_request_costs_the_same_with_many_callers() -> None:
    counters = LocalCounters()
    for number in range(50_000):
        await counters.take(TEN, f"address:{number}", 1)
    started = time.perf_counter()
    for number in range(1000):
        await counters.take(TEN, f"address:x{number}", 1)
    assert (time.perf_counter() - started) / 1000 < 0.0005


async def test_keys_expire_in_redis(redis: RunningRedis) -> None:
    counters = RedisCounters(redis.url)
    with redis.client() as client:
        client.flushall()
    await counters.take(TEN, "address:e", 1)
    await counters.take(QUOTA, "token:e", 1)
    await counters.probe()
    with redis.client() as client:
        assert all(0 < client.ttl(key) <= 86400 for key in client.keys("*"))
    await counters.close()
