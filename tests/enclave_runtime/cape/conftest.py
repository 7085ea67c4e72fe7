"""Processes of functions, closed after each test."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from enclave_runtime import archive as archives
from enclave_runtime.cape.process import HandlerLimits, HandlerProcess
from enclave_runtime.confinement.layers import CGROUP, IDS, NAMESPACES, SOCKETS_ABI
from enclave_runtime.confinement.warden import Warden
from tests.enclave_runtime.cape.handler_sources import ReversingRpc, within
from tests.enclave_runtime.cape.session_runtime import running_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.enclave_runtime.cape.session_runtime import Runtime


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
async def runtime(
    warden: Warden, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Runtime]:
    """A Cape host behind a listener."""
    monkeypatch.setattr(archives, "memory", lambda: tmp_path)
    async with running_host(state, tmp_path, warden) as running:
        yield running


@pytest.fixture(scope="session")
def bare_warden() -> Iterator[Warden]:
    """As in a container without privileges."""
    found = Warden.appoint(total_bytes=8 << 30, without=(IDS, NAMESPACES, CGROUP), landlock_abi=SOCKETS_ABI - 1)
    yield found
    found.close()


@pytest.fixture
async def start_handler(warden: Warden) -> AsyncIterator[Callable[..., Awaitable[HandlerProcess]]]:
    """Start a process on a function's folder; keywords are its limits."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(code: Path, **limits: Any) -> HandlerProcess:
            start = HandlerProcess.start(code, warden=warden, limits=HandlerLimits(**limits), rpc=ReversingRpc())
            process = await within(start)
            stack.push_async_callback(process.close)
            return process

        yield start
