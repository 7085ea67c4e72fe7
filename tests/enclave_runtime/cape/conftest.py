"""Processes of functions, closed after each test."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from enclave_runtime.cape import sandbox
from enclave_runtime.cape.process import HandlerLimits, HandlerProcess
from tests.enclave_runtime.cape.handler_sources import ReversingRpc, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


@pytest.fixture
def confinable() -> None:
    if (reason := sandbox.available()) is not None:
        pytest.skip(reason)


@pytest.fixture
async def start_handler(confinable: None) -> AsyncIterator[Callable[..., Awaitable[HandlerProcess]]]:
    """Start a process on a function's folder; keywords are its limits."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(code: Path, **limits: Any) -> HandlerProcess:
            process = await within(HandlerProcess.start(code, limits=HandlerLimits(**limits), rpc=ReversingRpc()))
            stack.push_async_callback(process.close)
            return process

        yield start
