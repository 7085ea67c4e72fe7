"""Blocking WebSockets. Each has an event loop of its own, in a thread that does all of its TLS.

websockets' threading client reads in one thread while another writes. OpenSSL does not allow this on one connection
(openssl-threads(7)), and Python's `ssl` does not prevent it: over TLS about one in 500 connections broke in its first
messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

T = TypeVar("T")


class BlockingSocket:
    """An open WebSocket. `send` and `recv` raise `websockets.ConnectionClosed`. Only one thread can use it at a
    time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: ClientConnection) -> None:
        self._loop = loop
        self._connection = connection

    def send(self, content: str | bytes | Iterable[bytes]) -> None:
        """Send one message; each item of an iterable is one frame of it, created in the loop's thread."""
        _wait(self._loop, self._connection.send(content))

    def recv(self) -> str | bytes:
        """Wait for the next message."""
        return _wait(self._loop, self._connection.recv())


@contextlib.contextmanager
def opened(url: str, refused: Callable[[int, bytes], Exception], **options: Any) -> Iterator[BlockingSocket]:  # noqa: ANN401 -- what websockets takes
    """Open a WebSocket to `url` for the duration of the block.

    `options` are those of websockets' `connect`, whose exceptions are raised. Redirects are not followed, so that the
    token does not reach another host. `refused` creates the exception for an HTTP answer that is not a WebSocket, from
    its status and body.
    """

    class Unredirected(ClientConnection):
        async def handshake(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 -- as the library passes them
            try:
                await super().handshake(*arguments, **options)
            except InvalidStatus as error:
                raise refused(error.response.status_code, bytes(error.response.body or b"")) from error

    async def connection() -> ClientConnection:
        return await connect(url, create_connection=Unredirected, **options)

    with _running_loop() as loop:
        socket = _wait(loop, connection())
        try:
            yield BlockingSocket(loop, socket)
        finally:
            _wait(loop, socket.close())


@contextlib.contextmanager
def _running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="websocket", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        with contextlib.suppress(RuntimeError):
            loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _wait(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Wait for the result. If the wait is interrupted (Ctrl-C), the work is cancelled."""
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
