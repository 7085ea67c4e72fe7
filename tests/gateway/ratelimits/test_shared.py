"""Gateways that share a real Redis: one limit for both, and requests that are served whatever happens to it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import time
from signal import SIGCONT, SIGSTOP
from typing import TYPE_CHECKING

import httpx2
import pytest

from blindsight_cli import localca
from gateway import tokens
from gateway.metrics import Metrics
from gateway.ratelimits import shared as shared_counters
from gateway.ratelimits.local import LocalCounters
from gateway.ratelimits.policy import parse
from gateway.ratelimits.shared import RedisCounters, SharedCounters
from tests.support import images
from tests.support.redis import RunningRedis, running_redis
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

PASSWORD = "pa55w0rd-0f-the-redis"
PHOTO = images.plain(5)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RunningRedis]:
    with running_redis(tmp_path, PASSWORD) as server:
        yield server


def send(gateway: Gateway, token: str = "") -> httpx2.Response:
    headers = {"content-type": "image/png"} | ({"authorization": f"Bearer {token}"} if token else {})
    return gateway.client.post("/classify", content=PHOTO, headers=headers)


def local(gateway: Gateway) -> bool:
    return gateway.metric("rate_limits_local") == 1


def test_two_gateways_share_one_limit_and_lose_and_find_redis(
    tiny_stack: Stack, redis: RunningRedis, tmp_path: Path
) -> None:
    token = tokens.create("alice", tmp_path / "tokens")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    settings = {
        "tokens_file": tmp_path / "tokens", "rate_limit": "20/hour", "quota": "1000/month",
        "redis": f"redis://127.0.0.1:{redis.port}/0", "redis_password_file": tmp_path / "password",
    }  # fmt: skip
    with tiny_stack.another_gateway(**settings) as one, tiny_stack.another_gateway(**settings) as other:
        found = [send(gateway, token).status_code for gateway in (one, other) * 11]
        assert (local(one), local(other)) == (False, False), one.log() + other.log()
        assert found == [200] * 20 + [429] * 2
        keys = redis.keys()
        assert any("requests/3600/token:" in key for key in keys)
        assert any("images/2592000/token:" in key for key in keys)
        for secret in (token, token[3:], tokens.hash_of(token), "alice"):
            assert not any(secret in key for key in keys)
        # Without Redis both serve, each with counts of its own.
        redis.kill()
        for gateway in (one, other):
            started = time.perf_counter()
            assert [send(gateway, token).status_code for _ in range(21)] == [200] * 20 + [429]
            assert local(gateway)
            assert time.perf_counter() - started < 10
        redis.start()
        wait_until("redis is used again", lambda: not local(one) and not local(other))
        # It has forgotten all.
        assert send(one, token).headers["ratelimit"].startswith('"requests-per-hour";r=19;')
        assert send(other, token).headers["ratelimit"].startswith('"requests-per-hour";r=18;')
        for gateway in (one, other):
            events = [line["event"] for line in gateway.events()]
            assert events.count("Redis does not answer: rate limits are this gateway's own") == 1
            assert events.count("Redis answers again: rate limits are shared") == 1
            assert not any(secret in gateway.log() for secret in (PASSWORD, token, tokens.hash_of(token)))


def test_a_redis_with_tls_is_used_only_with_a_certificate_that_is_trusted(tiny_stack: Stack, tmp_path: Path) -> None:
    files = localca.ensure(tmp_path / "tls", ["127.0.0.1"])
    (tmp_path / "password").write_text(PASSWORD)
    with running_redis(tmp_path, PASSWORD, tls=files) as server:
        address = f"rediss://127.0.0.1:{server.port}/0"
        settings = {"rate_limit": "4/hour", "redis_password_file": tmp_path / "password"}
        trusting = settings | {"redis": f"{address}?ssl_ca_certs={files.ca}"}
        with tiny_stack.another_gateway(**trusting) as one, tiny_stack.another_gateway(**trusting) as other:
            found = [send(gateway).status_code for gateway in (one, other) * 3]
            assert (local(one), local(other)) == (False, False), one.log() + other.log()
        assert found == [200] * 4 + [429] * 2
        keys = server.keys()
        assert any("requests/3600/" in key for key in keys)
        with tiny_stack.another_gateway(**settings, redis=address) as suspicious:
            assert send(suspicious).status_code == 200
            assert local(suspicious)


def test_a_redis_that_stalls_under_load_delays_no_request(
    tiny_stack: Stack, redis: RunningRedis, tmp_path: Path
) -> None:
    """Requests that cost the enclave nothing show the time that the limits take."""
    settings = {"rate_limit": "1000000/hour", "redis": redis.url, "max_in_flight": 1000}
    with tiny_stack.another_gateway(**settings) as gateway:
        found: list[tuple[int, float]] = []
        stop = threading.Event()

        def ask() -> None:
            with httpx2.Client(base_url=gateway.url, trust_env=False, timeout=30) as client:
                while not stop.is_set():
                    started = time.perf_counter()
                    answer = client.post("/classify?top_k=0", content=b"x")
                    found.append((answer.status_code, time.perf_counter() - started))

        callers = [threading.Thread(target=ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        time.sleep(1)
        usual = max(seconds for _, seconds in found)
        redis.signal(SIGSTOP)
        wait_until("the gateway counts alone", lambda: local(gateway))
        time.sleep(1.5)
        redis.signal(SIGCONT)
        wait_until("redis is used again", lambda: not local(gateway))
        redis.kill()
        wait_until("the gateway counts alone again", lambda: local(gateway))
        time.sleep(0.5)
        stop.set()
        for caller in callers:
            caller.join(30)
    assert {status for status, _ in found} == {422}
    slowest = max(seconds for _, seconds in found)
    assert slowest < shared_counters.ANSWER_SECONDS + usual + 0.25
    # Those that noticed the stall are few: the others did not wait.
    assert sum(seconds > usual + 0.09 for _, seconds in found) <= 12


def test_a_gateway_starts_without_its_redis_and_with_a_wrong_password(tiny_stack: Stack, redis: RunningRedis) -> None:
    wrong = f"redis://:not-{PASSWORD}@127.0.0.1:{redis.port}/0"
    for url in (wrong, "redis://:secret-one@127.0.0.1:1/0", "unix:///nowhere/redis.sock"):
        with tiny_stack.another_gateway(rate_limit="2/hour", redis=url) as gateway:
            wait_until("the gateway counts alone", lambda gateway=gateway: local(gateway))
            assert [send(gateway).status_code for _ in range(3)] == [200, 200, 429]
            assert PASSWORD not in gateway.log()
            assert "secret-one" not in gateway.log()


@pytest.mark.parametrize("fault", ["read-only", "full"])
async def test_a_redis_that_refuses_to_count_is_one_that_is_gone(redis: RunningRedis, fault: str) -> None:
    lost = Metrics().rate_limits_local
    counters = SharedCounters(RedisCounters(redis.url), LocalCounters(), lost)
    (limit,) = parse("2/hour", "requests")
    watching = asyncio.create_task(counters.watch())
    assert (await counters.take(limit, "address:a", 1)).admitted
    with redis.client() as client:
        if fault == "full":
            client.config_set("maxmemory", 1)
        else:
            client.replicaof("127.0.0.1", 1)
        found = [(await counters.take(limit, "address:a", 1)).admitted for _ in range(3)]
        assert found == [True, True, False]
        assert not counters.in_use
        await asyncio.sleep(1.2)
        assert not counters.in_use, "it is used again although it cannot count"
        client.config_set("maxmemory", 0)
        client.replicaof("NO", "ONE")
    for _ in range(100):
        await asyncio.sleep(0 if counters.in_use else 0.1)
    assert counters.in_use
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_answers_that_come_too_late_reach_no_other_request(
    redis: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a connection whose answer was not awaited, the next request would read it."""
    redis_counters = RedisCounters(redis.url)
    counters = SharedCounters(redis_counters, LocalCounters(), Metrics().rate_limits_local)
    (limit,) = parse("1000/hour", "requests")
    for caller, times in (("address:a", 500), ("address:b", 3)):
        for _ in range(times):
            await redis_counters.take(limit, caller, 1)
    redis.signal(SIGSTOP)
    await asyncio.gather(*(counters.look(limit, "address:a", 1) for _ in range(30)))
    redis.signal(SIGCONT)
    assert not counters.in_use
    counters.in_use = True
    monkeypatch.setattr(shared_counters, "ANSWER_SECONDS", 10)
    for _ in range(50):
        assert (await counters.look(limit, "address:b", 1)).remaining == 997
    await redis_counters.close()


@contextlib.asynccontextmanager
async def in_front_of(ports: list[int]) -> AsyncIterator[int]:
    """A port whose new connections lead to the first of `ports`, as a name does whose address changes."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", ports[0])
        with contextlib.suppress(OSError):
            await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(lead, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_after_a_failover_the_new_primary_is_used(tmp_path: Path) -> None:
    """The former one keeps its connections open and is read-only: new ones lead to the new one."""
    (tmp_path / "new").mkdir()
    lost = Metrics().rate_limits_local
    (limit,) = parse("5/hour", "requests")
    with running_redis(tmp_path) as former, running_redis(tmp_path / "new") as new:
        ports = [former.port]
        async with in_front_of(ports) as port:
            counters = SharedCounters(RedisCounters(f"redis://127.0.0.1:{port}/0"), LocalCounters(), lost)
            watching = asyncio.create_task(counters.watch())
            await counters.take(limit, "address:a", 1)
            with former.client() as client:
                client.replicaof("127.0.0.1", 1)
            ports[0] = new.port
            await counters.take(limit, "address:a", 1)
            assert not counters.in_use
            for _ in range(30):
                await asyncio.sleep(0 if counters.in_use else 0.1)
            assert counters.in_use
            assert (await counters.take(limit, "address:a", 1)).remaining == 4
            assert new.keys()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def test_a_node_of_a_cluster_is_not_used_by_turns(redis: RunningRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts some callers and refuses others. Taken for one that answers again, it caused no alert."""
    monkeypatch.setattr(RunningRedis, "options", ["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"])
    redis.kill()
    redis.start()
    with redis.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 12287)
        wait_until("the node serves", lambda: "cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
    counters = SharedCounters(RedisCounters(redis.url), LocalCounters(), Metrics().rate_limits_local)
    counters.in_use = False
    await counters._probe()
    assert not counters.in_use
    with redis.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 12288, 16383)
    for _ in range(20):
        await counters._probe()
        await asyncio.sleep(0 if counters.in_use else 0.1)
    assert counters.in_use, "a cluster of one shard has all keys"
    await counters._shared.close()


@pytest.mark.parametrize("reply", [b":x\r\n", b"+OK\r\n", b"*0\r\n", b"*1\r\n" * 5000], ids=range(4))
async def test_a_redis_that_answers_in_another_form_refuses_no_request(reply: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(65536):
            writer.write(reply * asked.count(b"EVALSHA") if b"EVALSHA" in asked else b"+OK\r\n" * asked.count(b"*"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    counters = SharedCounters(RedisCounters(url), LocalCounters(), Metrics().rate_limits_local)
    for limit in (*parse("5/hour", "requests"), *parse("5/hour", "images")):
        counters.in_use = True
        assert (await counters.take(limit, "address:a", 1)).remaining == 4
        assert not counters.in_use
    counters.in_use = True
    await counters._probe()
    await counters._shared.close()
    server.close()


def test_the_digest_of_a_caller_is_plain() -> None:
    """Operators can find a caller's counters: docs/operations.md."""
    from gateway.ratelimits.limiter import account_key

    assert account_key("ada") == "account:" + hashlib.sha256(b"blindsight rate limit\0account\0ada").hexdigest()[:32]
