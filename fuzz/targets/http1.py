"""Harness for the gateway's HTTP/1.1 connections (RFC 9112): from bytes to requests and refusals.

The first byte is the number of bytes that arrive at once (0: all).
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, cast

from uvicorn.server import ServerState

from fuzz import driving
from fuzz.target import Target
from gateway.connections import Connections
from gateway.http1 import MAX_HEAD_BYTES, MAX_PIPELINED, BoundedHttp
from gateway.listener import Limits, ListenerConfig

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class _Transport(asyncio.Transport):
    """A transport that records writes and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: object = None) -> Any:  # noqa: ANN401 -- asyncio's
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closed:  # As asyncio's transports do.
            self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Do nothing: there is no peer."""

    def pause_reading(self) -> None:
        """All is there."""

    def resume_reading(self) -> None:
        """All is there."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: writes are not buffered."""

    def get_write_buffer_size(self) -> int:
        return 0


class _Application:
    """An ASGI application that reads each body, answers, and counts requests and bytes."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.body_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            self.body_bytes += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def run(data: bytes) -> None:
    """Check that no error escapes, that requests are bounded by the input, and that there is at most one refusal."""
    step, stream = (data[0] or len(data), data[1:]) if data else (1, b"")
    driving.finished(_serve(stream, step))


async def _serve(stream: bytes, step: int) -> None:
    application, transport = _Application(), _Transport()
    config = _config(application)
    protocol = BoundedHttp(config, ServerState(), {})
    place = config.limits.connections.enter("127.0.0.1")
    assert place is not None
    protocol.place = place
    protocol.connection_made(transport)
    for start in range(0, len(stream), step):
        if transport.closed:
            break
        protocol.data_received(stream[start : start + step])
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    statuses = _STATUS.findall(transport.written)
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)
    assert sum(status != b"100" for status in statuses) <= len(application.scopes) + 1
    assert all(status in {b"100", b"200", b"400"} for status in statuses)
    assert application.body_bytes <= len(stream)
    assert len(application.scopes) <= MAX_PIPELINED + len(stream) // 16
    for scope in application.scopes:
        assert scope["http_version"] in {"1.0", "1.1"}
        assert sum(len(name) + len(value) for name, value in scope["headers"]) <= MAX_HEAD_BYTES
    assert not transport.written or _STATUS.match(transport.written)
    assert not config.limits.connections._open


def _config(application: _Application) -> ListenerConfig:
    config = ListenerConfig(
        cast("Any", application), limits=Limits(connections=Connections()), http="httptools", ws="none",
        log_config=None, access_log=False, proxy_headers=False, lifespan="off",
    )  # fmt: skip
    config.load()
    return config


def seeds() -> dict[str, bytes]:
    """Requests with each kind of framing, and requests that are refused."""
    get = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
    post = b"POST /classify HTTP/1.1\r\nhost: localhost\r\n"
    chunked = post + b"transfer-encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\ntrailer: x\r\n\r\n"
    return {
        "get": b"\x00" + get,
        "pipelined": b"\x00" + get * 3,
        "in-pieces": b"\x05" + get,
        "length": b"\x00" + post + b"content-length: 3\r\n\r\nabc" + get,
        "chunked": b"\x00" + chunked + get,
        "expect": b"\x00" + post + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\nabc",
        "upgrade": b"\x00" + post + b"upgrade: websocket\r\nconnection: upgrade\r\ncontent-length: 3\r\n\r\nabc" + get,
        "websocket": b"\x00GET /v1/run HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n",
        "connect": b"\x00CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        "old": b"\x00GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" + get,
        "absolute": b"\x00GET http://other/ HTTP/1.1\r\nhost: x\r\n\r\n",
        "both": b"\x00" + post + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "h2": b"\x00PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    }


TARGET = Target(
    run, (), seeds, max_bytes=2000, base_bytes=2 << 20,
    words=(
        b"content-length: ", b"transfer-encoding: chunked\r\n", b"upgrade: websocket\r\n", b"connection: ",
        b"expect: 100-continue\r\n", b"HTTP/1.1\r\n", b"HTTP/1.0\r\n", b"\r\n\r\n", b"POST ", b"CONNECT ",
        b"0\r\n\r\n", b"host: x\r\n",
    ),
)  # fmt: skip
