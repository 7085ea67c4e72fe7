"""Counters in Redis, which several gateways share; those of this process while Redis does not answer.

Requests do not wait for a Redis that is gone: after a failure they use this process's counters, and only a background
task asks Redis again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

import redis.asyncio as redis_client
from limits.aio.storage import RedisStorage
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from gateway.ratelimits import fixedscripts
from gateway.ratelimits.windows import Reading, SlidingWindow, fixed_reading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from limits.aio.storage.redis.redispy import RedispyBridge
    from prometheus_client import Gauge

    from gateway.ratelimits.policy import Limit
    from gateway.ratelimits.windows import Counters

_log = logging.getLogger(__name__)
_Found = TypeVar("_Found")

PREFIX: Final = "blindsight"
"""Of all keys."""
ANSWER_SECONDS: Final = 0.1
"""Time for all that one step asks of Redis, from the connection on."""
_PROBE_SECONDS: Final = 0.5
CONNECT_SECONDS: Final = 2.0
"""Time for connections that the background task opens. Requests wait for none longer than `ANSWER_SECONDS`."""
PLACE_SECONDS: Final = 1.0
"""Time that a step waits for others' steps; then it counts locally: Redis is far away, or the gateway too busy."""
_AT_ONCE: Final = 8
"""Steps that ask Redis at a time, and so connections. Python's part is most of a step: more would not be faster."""
_PROBES: Final = (1, 11, 0, 10, 3, 13, 2, 12)
"""Numbers of the probes' keys, one in each eighth of the slots of a cluster."""
_OUR_OPTIONS: Final = frozenset({"host", "port", "username", "password", "db", "path", "connection_class"})
"""What a URL may set, besides options that begin with `ssl_`."""


def check_url(url: str) -> None:
    """Raise `ValueError`, which does not quote `url`, unless it is one of a Redis."""
    try:
        options = parse_url(url)
        # It does not connect, but an unknown option, or one without TLS, would otherwise fail each request.
        redis_client.ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]  # the library's
    except (ValueError, TypeError, RedisError) as error:
        raise _bad_url() from error
    if not all(name in _OUR_OPTIONS or name.startswith("ssl_") for name in options):
        raise _bad_url()


def _bad_url() -> ValueError:
    return ValueError("write it as redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH?db=DB")


class RedisCounters:
    """Counters in Redis, by Redis's clock. Methods raise `RedisError` or `OSError`.

    The scripts of sliding windows are those of `limits`. For fixed ones it counts before it compares: a batch that is
    refused would take images from others for an instant. Each step is one round trip, and what it counts is atomic.
    """

    def __init__(self, url: str, password: str | None = None) -> None:
        """Raises `ValueError` for an invalid URL. Connects at first use."""
        check_url(url)
        own = {} if password is None else {"password": password}
        pool: Any = redis_client.ConnectionPool.from_url(
            url,
            socket_timeout=CONNECT_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            **own,
        )
        self._pool = pool
        # The pool connects. The URL that `limits` gets only says that the server is a Redis.
        self._storage = RedisStorage(
            "async+redis://", implementation="redispy", key_prefix=PREFIX, connection_pool=pool
        )
        bridge = cast("RedispyBridge", self._storage.bridge)
        self._acquire, self._window = bridge.lua_acquire_sliding_window, bridge.lua_sliding_window
        self._client = redis_client.Redis(connection_pool=pool)
        self._take, self._give_back = (
            self._client.register_script(script) for script in (fixedscripts.TAKE, fixedscripts.GIVE_BACK)
        )

    async def close(self) -> None:
        await self._pool.aclose()

    async def connect(self) -> None:
        """Open connections, which takes longer than a step, as far as they are not open; use each as requests do.

        A Redis that is full or read-only still answers a ping, and a node of a cluster has some of the keys.
        """
        results = await asyncio.gather(*(self._probe(number) for number in _PROBES), return_exceptions=True)
        for each in results:
            if isinstance(each, BaseException):
                raise each

    async def disconnect(self) -> None:
        """Close the connections that no step uses: the name may have come to be that of another Redis."""
        await self._pool.disconnect(inuse_connections=False)

    async def probe(self) -> None:
        """Count something, as requests do."""
        await self._probe(_PROBES[0])

    async def _probe(self, number: int) -> None:
        pair = _pair(f"probe/{number}")
        await self._run(
            _Call(self._acquire, pair, (1, 1, 1)), _Call(self._window, pair, (1,)),
            _Call(self._take, (f"{pair[1]}/fixed",), (1, 1, 1)), _Call(self._give_back, (f"{pair[1]}/fixed",), (1,)),
        )  # fmt: skip

    async def take(self, limit: Limit, caller: str, cost: int) -> Reading:
        key = limit.key(caller)
        if limit.sliding:
            acquire = _Call(self._acquire, _pair(key), (limit.amount, limit.seconds, cost))
            admitted, window = await self._run(acquire, _Call(self._window, _pair(key), (limit.seconds,)))
            return (await self._sliding(limit, key, window)).reading(limit, cost, admitted=bool(admitted))
        ((fits, count, left),) = await self._run(
            _Call(self._take, (_prefixed(key),), (limit.seconds, cost, limit.amount))
        )
        return fixed_reading(limit, int(count), _left(limit, left), admitted=bool(fits))

    async def look(self, limit: Limit, caller: str, cost: int) -> Reading:
        key = limit.key(caller)
        if limit.sliding:
            (found,) = await self._run(_Call(self._window, _pair(key), (limit.seconds,)))
            window = await self._sliding(limit, key, found)
            return window.reading(limit, cost, admitted=window.used(limit) + cost <= limit.amount)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.get(_prefixed(key))
        pipeline.pttl(_prefixed(key))
        found, left = await pipeline.execute()
        count = int(found or 0)
        return fixed_reading(limit, count, _left(limit, left), admitted=count + cost <= limit.amount)

    async def give_back(self, limit: Limit, caller: str, count: int) -> None:
        await self._run(_Call(self._give_back, (_prefixed(limit.key(caller)),), (count,)))

    async def _run(self, *calls: _Call) -> list[Any]:
        """Run scripts in one round trip; those that a Redis does not have, because it was restarted, in a second one.

        A script that ran is not run again: it has counted.
        """
        results = await self._execute(calls)
        if not any(isinstance(each, NoScriptError) for each in results):
            return results
        for script in (self._acquire, self._window, self._take, self._give_back):
            await self._client.script_load(script.script)
        ran = next(at for at, each in enumerate(results) if isinstance(each, NoScriptError))
        again = await self._execute(calls[ran:])
        for each in again:
            if isinstance(each, NoScriptError):
                raise each
        return results[:ran] + again

    async def _execute(self, calls: Sequence[_Call]) -> list[Any]:
        """Results of the scripts. A `NoScriptError` stands where one is missing."""
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(call.script.sha, len(call.keys), *call.keys, *call.arguments)
        results: list[Any] = await pipeline.execute(raise_on_error=False)
        for each in results:
            if isinstance(each, Exception) and not isinstance(each, NoScriptError):
                raise each
        return results

    async def _sliding(self, limit: Limit, key: str, found: Sequence[Any]) -> SlidingWindow:
        previous, previous_left, current, current_left = (max(0, int(each or 0)) for each in found)
        # The counter of the current window lasts for two, because it is the next one's previous.
        left = max(0.0, current_left / 1000 - limit.seconds)
        if max(left, previous_left / 1000) > limit.seconds + 1:
            # Redis's clock was set back: its keys would block the caller for as long as that.
            await self._client.delete(*_pair(key))
            return SlidingWindow(0, 0, float(limit.seconds))
        return SlidingWindow(previous, current, left)


class _Call(NamedTuple):
    """A script with its keys and arguments."""

    script: Any
    keys: tuple[str, ...]
    arguments: tuple[int, ...]


def _prefixed(key: str) -> str:
    return f"{PREFIX}:{key}"


def _pair(key: str) -> tuple[str, str]:
    """The keys of the previous and the current window, as `limits` names them; one node of a cluster has both."""
    return f"{PREFIX}:{{{key}}}/-1", f"{PREFIX}:{{{key}}}"


def _left(limit: Limit, milliseconds: int) -> float:
    """Seconds until a fixed window ends; a whole window if there is none yet."""
    return min(float(limit.seconds), milliseconds / 1000) if milliseconds > 0 else float(limit.seconds)


class SharedCounters:
    """Counters in Redis, or this process's while Redis fails."""

    def __init__(self, shared: RedisCounters, local: Counters, lost: Gauge) -> None:
        """`lost` is set to 1 while the counters are this process's."""
        self._shared = shared
        self._local = local
        self._lost = lost
        self._places = asyncio.Semaphore(_AT_ONCE)
        self.in_use = True
        """Whether requests use Redis."""

    async def take(self, limit: Limit, caller: str, cost: int) -> Reading:
        return await self._ask(
            lambda: self._shared.take(limit, caller, cost), lambda: self._local.take(limit, caller, cost)
        )

    async def look(self, limit: Limit, caller: str, cost: int) -> Reading:
        return await self._ask(
            lambda: self._shared.look(limit, caller, cost), lambda: self._local.look(limit, caller, cost)
        )

    async def give_back(self, limit: Limit, caller: str, count: int) -> None:
        await self._ask(
            lambda: self._shared.give_back(limit, caller, count), lambda: self._local.give_back(limit, caller, count)
        )

    async def watch(self) -> None:
        """Ask Redis at the start, and again while it is not in use, until cancelled; then close the connections."""
        try:
            await self._probe()
            while True:
                await asyncio.sleep(_PROBE_SECONDS)
                if not self.in_use:
                    await self._probe()
        finally:
            await self._shared.close()

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._shared.connect()
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._shared.probe()
        except Exception as error:  # noqa: BLE001 -- as in `_ask`
            self._failed(error)
            with contextlib.suppress(Exception):
                # After a failover they would lead to the former primary, which stays read-only.
                await self._shared.disconnect()
            return
        if not self.in_use:
            _log.info("Redis answers again: rate limits are shared")
        self.in_use = True
        self._lost.set(0)

    async def _ask(self, shared: Callable[[], Awaitable[_Found]], local: Callable[[], Awaitable[_Found]]) -> _Found:
        if self.in_use and await self._place():
            try:
                if self.in_use:
                    started = time.monotonic()
                    async with asyncio.timeout(ANSWER_SECONDS):
                        return await shared()
            except Exception as error:  # noqa: BLE001 -- an answer in another form, too, must not refuse the request
                # Beyond twice its time, this process has paused, and Redis may have answered.
                if time.monotonic() - started < 2 * ANSWER_SECONDS:
                    self._failed(error)
            finally:
                self._places.release()
        return await local()

    async def _place(self) -> bool:
        """Wait for a place. That is not waiting for Redis, so its time does not count as Redis's."""
        try:
            async with asyncio.timeout(PLACE_SECONDS):
                return await self._places.acquire()
        except TimeoutError:
            return False

    def _failed(self, error: Exception) -> None:
        """Use this process's counters. Logs the error's kind only: a message could quote the URL or a key."""
        if self.in_use:
            self.in_use = False
            self._lost.set(1)
            reason = type(error).__name__
            _log.warning("Redis does not answer: rate limits are this gateway's own", extra={"reason": reason})
