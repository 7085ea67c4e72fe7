"""Limits of each caller: requests that cost the enclave something, and images."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Final

from blindsight.problems import Problem
from gateway.connections import source_of
from gateway.services import token_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.requests import HTTPConnection

    from gateway.metrics import Metrics
    from gateway.ratelimits.policy import Limit
    from gateway.ratelimits.windows import Counters, Reading
    from gateway.tokens import TokenStore

_ADDRESS: Final = "address"
_DIGEST_CHARACTERS: Final = 32
_LONGEST_RETRY_AFTER: Final = 2**31 - 1


class Exceeded(Exception):
    """A caller is at a limit. `code` is the problem's and Cape's; the message states the limit and the time to wait."""

    def __init__(self, reading: Reading, cost: int) -> None:
        """`reading` is that of the limit, and `cost` what did not fit."""
        limit = reading.limit
        self.policy = limit.name
        self.code = "rate_limited" if limit.unit == "requests" else "quota_exceeded"
        self.retry_after = seconds_of(reading.wait)
        """Whole seconds, at least one."""
        left = "" if limit.unit == "requests" else f" {reading.remaining} are left."
        again = f"Try again in {self.retry_after} s."
        if cost > limit.amount:
            again = f"A batch of {cost} never fits: send at most {limit.amount} at once."
        super().__init__(f"At most {limit.described}.{left} {again}")

    def problem(self) -> Problem:
        """The same as a problem document."""
        return Problem(self.code, str(self), policy=self.policy, retry_after=self.retry_after)


class Allowance:
    """What the limits say about one request and its caller."""

    def __init__(self, limiter: RateLimiter, caller: str) -> None:
        self._limiter = limiter
        self._caller = caller
        self._readings: dict[str, Reading] = {}

    @property
    def by_address(self) -> bool:
        """Whether the caller is an address."""
        return self._caller.startswith(f"{_ADDRESS}:")

    async def begin(self, *, images: bool) -> None:
        """Count the request; if it is with `images`, check that each quota has one left. Raises `Exceeded`."""
        await self._limiter.count_request(self._caller, self._readings)
        if images:
            await self._limiter.check_quotas(self._caller, self._readings)

    async def charge(self, images: int) -> None:
        """Count `images`, all or none. Raises `Problem` (`quota_exceeded`)."""
        try:
            await self._limiter.charge(self._caller, images, self._readings)
        except Exceeded as error:
            raise error.problem() from error

    async def give_back(self, images: int) -> None:
        """Undo `images` of the charge."""
        await self._limiter.give_back(self._caller, images, self._readings)

    def fields(self) -> list[tuple[bytes, bytes]]:
        """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11)."""
        return header_fields(self._readings.values())


class RateLimiter:
    """The limits of a gateway. Its callers are API tokens, Cape accounts and addresses."""

    def __init__(
        self,
        rates: Sequence[Limit],
        quotas: Sequence[Limit],
        counters: Counters,
        metrics: Metrics,
        tokens: TokenStore | None,
    ) -> None:
        self._rates = rates
        self._quotas = quotas
        self._counters = counters
        self._metrics = metrics
        self._tokens = tokens

    async def watch(self) -> None:
        """Maintain the counters, until cancelled."""
        await self._counters.watch()

    def caller_of(self, connection: HTTPConnection) -> str:
        """The key of a request's caller: its API token if that is valid, otherwise its address (IPv6: the /64)."""
        name = token_name(connection, self._tokens) if self._tokens is not None else None
        if name is not None:
            return _key("token", name)
        return _key(_ADDRESS, source_of(connection.client.host) if connection.client else "")

    async def count_request(self, caller: str, readings: dict[str, Reading] | None = None) -> None:
        """Count a request; the shortest window first, so that a refusal by it counts in no longer one.

        Raises `Exceeded`. `readings` gets the state of each limit.
        """
        for limit in self._rates:
            reading = await self._counters.take(limit, caller, 1)
            if readings is not None:
                readings[limit.name] = reading
            if not reading.admitted:
                raise self._exceeded(reading)

    async def check_quotas(self, caller: str, readings: dict[str, Reading]) -> None:
        """Check that one image is left. Raises `Exceeded`."""
        for limit in self._quotas:
            readings[limit.name] = reading = await self._counters.look(limit, caller, 1)
            if not reading.admitted:
                raise self._exceeded(reading)

    async def charge(self, caller: str, images: int, readings: dict[str, Reading]) -> None:
        """Count `images`, all or none. Raises `Exceeded`."""
        for number, limit in enumerate(self._quotas):
            readings[limit.name] = reading = await self._counters.take(limit, caller, images)
            if not reading.admitted:
                await self._undo(self._quotas[:number], caller, images, readings)
                raise self._exceeded(reading, images)

    async def give_back(self, caller: str, images: int, readings: dict[str, Reading]) -> None:
        """Undo `images` of a charge."""
        await self._undo(self._quotas, caller, images, readings)

    async def _undo(self, quotas: Sequence[Limit], caller: str, images: int, readings: dict[str, Reading]) -> None:
        for limit in quotas:
            await self._counters.give_back(limit, caller, images)
            readings[limit.name] = await self._counters.look(limit, caller, 1)

    def _exceeded(self, reading: Reading, cost: int = 1) -> Exceeded:
        error = Exceeded(reading, cost)
        self._metrics.rejected.labels(error.code).inc()
        return error


def account_key(username: str) -> str:
    """The key of a Cape account as a caller."""
    return _key("account", username)


def _key(kind: str, identity: str) -> str:
    """A digest: the store of the counters learns neither tokens nor, without trying all of them, addresses."""
    digest = hashlib.sha256(f"blindsight rate limit\0{kind}\0{identity}".encode()).hexdigest()
    return f"{kind}:{digest[:_DIGEST_CHARACTERS]}"


def seconds_of(wait: float) -> int:
    """Whole seconds, rounded up, at least one."""
    return max(1, min(math.ceil(wait), _LONGEST_RETRY_AFTER))


def header_fields(readings: Iterable[Reading]) -> list[tuple[bytes, bytes]]:
    """The two header fields for these limits; none without limits."""
    policies, states = [], []
    for reading in readings:
        limit = reading.limit
        policies.append(f'"{limit.name}";q={limit.amount};w={limit.seconds}')
        states.append(f'"{limit.name}";r={reading.remaining};t={seconds_of(reading.until_more)}')
    if not states:
        return []
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(states).encode())]
