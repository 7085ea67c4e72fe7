"""Pools of workers on the fake function."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from enclave_runtime.workers.pool import PoolLimits, WorkerPool
from tests.enclave_runtime.workers import fake_function
from tests.enclave_runtime.workers.fake_function import Gate, eventually, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from enclave_runtime.confinement.warden import Warden


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with Gate(fake_function.write(tmp_path).folder) as opened:
        yield opened


@pytest.fixture
async def start_pool(tmp_path: Path, warden: Warden) -> AsyncIterator[Callable[..., Awaitable[WorkerPool]]]:
    """Start a pool of `workers` warm workers on a machine of 4 processors."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(workers: int = 1, **limits: float) -> WorkerPool:
            function = fake_function.write(tmp_path)
            pool = WorkerPool(function, warden, PoolLimits(workers=workers, processors=4, **limits))
            await stack.enter_async_context(pool)
            await within(pool.wait_started())
            await eventually(lambda: pool.alive == workers)
            return pool

        yield start
