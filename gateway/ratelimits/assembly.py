"""The limiter that the settings ask for."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from blindsight import files
from gateway.ratelimits import policy
from gateway.ratelimits.limiter import RateLimiter
from gateway.ratelimits.local import LocalCounters

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.metrics import Metrics
    from gateway.ratelimits.windows import Counters
    from gateway.settings import Settings
    from gateway.tokens import TokenStore

_MAX_PASSWORD_BYTES: Final = 4096


def limiter(settings: Settings, metrics: Metrics, tokens: TokenStore | None) -> RateLimiter:
    """The gateway's limiter. Raises `OSError` if the file of Redis's password cannot be read or has none."""
    rates = policy.parse(settings.rate_limit, "requests") if settings.rate_limit is not None else []
    quotas = policy.parse(settings.quota, "images") if settings.quota is not None else []
    return RateLimiter(rates, quotas, _counters(settings, metrics), metrics, tokens)


def _counters(settings: Settings, metrics: Metrics) -> Counters:
    local = LocalCounters()
    if settings.redis is None:
        return local
    from gateway.ratelimits.shared import RedisCounters, SharedCounters  # noqa: PLC0415 -- with redis, 250 ms

    password = None
    if settings.redis_password_file is not None:
        password = _password(settings.redis_password_file)
    redis = RedisCounters(settings.redis.get_secret_value(), password)
    return SharedCounters(redis, local, metrics.rate_limits_local)


def _password(path: Path) -> str:
    content = files.read(path, _MAX_PASSWORD_BYTES)
    try:
        password = content.decode().strip()
    except UnicodeDecodeError:
        # Without the cause, which has the content.
        raise OSError(errno.EINVAL, "it is not text", str(path)) from None
    if not password:
        raise OSError(errno.EINVAL, "it is empty", str(path))
    return password
