"""Replies to plain requests, from servers that may be no gateway: limited in size and in time.

`blindsight.client.Client` has limits of its own.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx2

from blindsight import strict_json
from blindsight.client import routes

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN: Final = {"Accept-Encoding": "identity"}
_MAX_STATEMENT_BYTES: Final = 1 << 20
"""What a gateway states about itself has some kilobytes."""


@dataclass(frozen=True)
class Reply:
    """The status and body of a reply, of which nothing is authenticated."""

    status: int
    content: bytes = field(repr=False)
    date: str = ""
    """Its `Date` field (RFC 9110, section 6.6.1)."""

    def members(self) -> dict[str, Any]:
        """The members of its JSON object; none if it is something else."""
        try:
            content = strict_json.loads(self.content)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


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
        body = _Body(response, limit)
        until = time.monotonic() + seconds
        for chunk in response.iter_bytes():
            body.add(chunk)
            if time.monotonic() > until:
                raise _late(response.request)
        return body.reply()


def statement(url: str, path: str, *, proxy: str | None, seconds: float) -> Reply:
    """What the gateway at `url` answers to a GET of `path`, of at most 1 MiB.

    The whole takes at most two times `seconds`: to connect, and to answer, however slowly the bytes come. Raises as
    `read`, and `ProxyError` and `httpx2.InvalidURL`.
    """
    return asyncio.run(_statement(url, path, proxy, seconds))


async def _statement(url: str, path: str, proxy: str | None, seconds: float) -> Reply:
    try:
        async with (
            asyncio.timeout(2 * seconds),
            routes.asynchronous(url, timeout=seconds, proxy=proxy, headers=_PLAIN) as client,
            client.stream("GET", path) as response,
        ):
            body = _Body(response, _MAX_STATEMENT_BYTES)
            async for chunk in response.aiter_bytes():
                body.add(chunk)
            return body.reply()
    except TimeoutError:
        raise _late(httpx2.Request("GET", url)) from None


def _late(request: httpx2.Request) -> httpx2.ReadTimeout:
    return httpx2.ReadTimeout("the answer did not come whole in time", request=request)


class _Body:
    """Collects a body. Raises `ValueError` for one that is packed or too large."""

    def __init__(self, response: httpx2.Response, limit: int) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ValueError("the body is packed")
        self._response = response
        self._limit = limit
        self._content = bytearray()

    def add(self, chunk: bytes) -> None:
        self._content += chunk
        if len(self._content) > self._limit:
            raise ValueError("the body is too large")

    def reply(self) -> Reply:
        return Reply(self._response.status_code, bytes(self._content), self._response.headers.get("date", ""))
