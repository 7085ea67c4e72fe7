"""Replies to plain requests, from servers that may be no gateway: limited in size and in time.

`blindsight.client.Client` has limits of its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PLAIN: Final = {"Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Reply:
    """The status and body of a reply, of which nothing is authenticated."""

    status: int
    content: bytes = field(repr=False)


def read(
    client: httpx2.Client,
    method: str,
    path: str,
    *,
    seconds: float,
    limit: int,
    headers: Mapping[str, str] | None = None,
    **options: Any,  # noqa: ANN401 -- those of `httpx2.Client.stream`
) -> Reply:
    """Send a request and read the reply. `client` has a timeout of its own, for each read.

    Raises `httpx2.HTTPError`, `httpx2.ReadTimeout` if the body takes longer than `seconds`, and `ValueError` for a body
    that has more than `limit` bytes or a content coding: a packed body can be a thousand times as large unpacked.
    """
    with client.stream(method, path, headers=_PLAIN | dict(headers or {}), **options) as response:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ValueError("the body is packed")
        content = _body(response.iter_bytes(), response.request, seconds, limit)
        return Reply(response.status_code, content)


def _body(chunks: Iterable[bytes], request: httpx2.Request, seconds: float, limit: int) -> bytes:
    body, until = bytearray(), time.monotonic() + seconds
    for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise ValueError("the body is too large")
        if time.monotonic() > until:
            raise httpx2.ReadTimeout("the body did not come whole in time", request=request)
    return bytes(body)
