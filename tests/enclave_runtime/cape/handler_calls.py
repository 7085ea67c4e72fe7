"""Calling functions' processes, and watching what becomes of them."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from blindsight.errors import CapeError
from tests.enclave_runtime.cape.handler_sources import within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator
    from pathlib import Path
    from types import SimpleNamespace

    from enclave_runtime.cape.process import HandlerProcess


async def run(process: HandlerProcess, source: str) -> bytes:
    return await within(process.call(source.encode()))


async def refused(awaitable: Awaitable[Any], code: str) -> str:
    with pytest.raises(CapeError) as refusal:
        await within(awaitable)
    assert refusal.value.code == code
    return str(refusal.value)


def leftovers(code: Path) -> list[str]:
    """What is beside a function's folder."""
    return [path.name for path in code.parent.iterdir() if path != code]


@contextlib.contextmanager
def watching(process: HandlerProcess | SimpleNamespace) -> Iterator[list[int]]:
    """Descriptors of a function's processes, which become readable when they end."""
    first = psutil.Process(process.pid)
    watches = [os.pidfd_open(each.pid) for each in (first, *first.children(recursive=True))]
    try:
        yield watches
    finally:
        for watch in watches:
            os.close(watch)
