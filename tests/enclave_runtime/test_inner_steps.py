"""Requests that are long in any of their parts are answered in steps that are short for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blindsight.sealing import bhttp
from tests.enclave_runtime.test_inner import ANSWER, EVIDENCE, Api
from tests.support.dates import dated
from tests.support.loopwatch import watched

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1 << 20
LONGEST_STEP = 0.02
"""Seconds of processor time."""


def request(path: str = "/classify", content: bytes = b"x", fields: list[tuple[str, str]] | None = None) -> bytes:
    return bhttp.Request("POST", path, dated() if fields is None else fields, content).encode()


def chunked(count: int) -> bytes:
    """A request of indeterminate length whose content comes in chunks of one byte."""
    (date,) = dated()
    texts = [b"POST", b"https", b"", b"/classify", *(part.encode() for part in date)]
    return b"\x02" + b"".join(bhttp.varint(len(text)) + text for text in texts) + b"\x00" + b"\x01x" * count + b"\0\0"


REQUESTS: dict[str, tuple[Callable[[], bytes], int]] = {
    "path": (lambda: request("/classify?" + "a=b&" * MIB), 400),
    "date": (lambda: request(fields=[("date", "1 " * MIB)]), 400),
    "field": (lambda: request(fields=[*dated(), ("x", "y" * 8 * MIB)]), 400),
    "fields": (lambda: request(fields=[("x", "y")] * 1_000_000), 400),
    "chunks": (lambda: chunked(65_000), 400),
    "padding": (lambda: request() + bytes(30 * MIB), 200),
    "image": (lambda: request(content=bytes(30 * MIB), fields=[*dated(), ("receipt-evidence", EVIDENCE)]), 200),
}
"""Made when they are sent: a date is good for five minutes."""


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("view", [False, True])
async def test_no_step_is_long(tmp_path: Path, name: str, *, view: bool) -> None:
    make, status = REQUESTS[name]
    encoded = make()
    api = Api(tmp_path, ANSWER)
    with watched() as watch:
        response = await api.respond_to(memoryview(encoded) if view else encoded)
    assert response.status == status, response.content
    assert watch.longest < LONGEST_STEP, watch
