"""The requests of a running function to the runtime: encryption and decryption with its owner's Cape Key.

JSON-RPC 1.0 on a Unix socket, one request per connection. Cape's published helper reads an answer with a single `recv`,
so an answer is written with a single call.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import itertools
import json
import logging
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from blindsight.cape import base64pieces
from blindsight.errors import CapeError
from blindsight.wire.gathered import Gathered
from enclave_runtime import threads
from enclave_runtime.cape import rpcrequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES: Final = 10 * 1024 * 1024
"""Of a request, and of an answer: the helper's limit."""

SOCKET: Final = "rpc.sock"

_MAX_CONNECTIONS = 16
_MAX_ATTEMPTS = 16
"""How often a request can look complete without being so; base64 has no braces."""
_MAX_WHITE_SPACE = 64
"""Characters after a request in which its end is searched."""
_CHUNK = 1 << 20
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of a peer: unix(7), SO_PEERCRED."""


class Rpc(Protocol):
    """A function owner's key. Both methods raise `CapeError`, whose message the function receives, and can take a
    while.

    DO NOT USE THEIR RESULTS BEFORE THE ITERATOR ENDS.
    """

    def encrypt(self, plaintext: memoryview) -> Iterable[bytes]: ...

    def decrypt(self, value: memoryview) -> Iterable[bytes]: ...


class RpcServer:
    """Serves one function process, on `rpc.sock` in its folder."""

    def __init__(self, folder: Path, rpc: Rpc) -> None:
        """Raises `OSError`."""
        self._rpc = rpc
        self._session: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._connections: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        # One long request or answer is on its way at a time: the short steps of several would add up to a long one.
        self._long = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.setblocking(False)
            _bind(self._socket, folder)
        except BaseException:
            self._socket.close()
            raise

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(
            self._accept, sock=self._socket, limit=_CHUNK, start_serving=False
        )
        await self._server.start_serving()

    def admit(self, session: int) -> None:
        """Accept only processes of `session`: the path of a socket is not a secret."""
        self._session.set_result(session)

    async def close(self) -> None:
        """Close the socket and cancel running requests."""
        if self._server is not None:
            self._server.close()
        self._socket.close()
        self._session.cancel()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= _MAX_CONNECTIONS:
            writer.close()
            return
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer: socket.socket = writer.get_extra_info("socket")
            pid, _, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
            if os.getsid(pid) != await asyncio.shield(self._session):
                return
            # As much as the system allows: what is queued at once, one `recv` can read at once.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_MESSAGE_BYTES)
            answer = await self._answer(reader)
            async with self._long if len(answer) > _CHUNK else contextlib.nullcontext():
                writer.write(answer)
                await writer.drain()
        except OSError:
            pass  # The process has hung up or ended.
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes | memoryview:
        number: object = None
        try:
            request = await _read(reader, self._long)
            number = request.get("id")
            async with self._turn:  # One at a time: a function must not take all of these threads.
                return await threads.CALLS.run(self._answer_call, request)
        except CapeError as error:
            return _failure(number, str(error))

    def _answer_call(self, request: dict[str, Any]) -> memoryview:
        # By hand: no result needs to be escaped, and to look for what does would hold up the runtime.
        number = json.dumps(_id(request.get("id"))).encode()
        answer = Gathered(MAX_MESSAGE_BYTES)
        try:
            for piece in itertools.chain(
                [b'{"id": ', number, b', "result": "'], self._call(request), [b'", "error": null}']
            ):
                answer.add(piece)
        except ValueError as error:
            raise CapeError("too_large", "the answer is too large") from error
        return answer.content

    def _call(self, request: dict[str, Any]) -> Iterator[bytes]:
        match request:
            case {
                "method": "CapeEncryptRPC.Encrypt" | "CapeEncryptRPC.Decrypt" as method,
                "params": [str() | memoryview() as text],
            }:
                pass
            case {"method": "CapeEncryptRPC.Encrypt" | "CapeEncryptRPC.Decrypt"}:
                raise CapeError("malformed_frame", "params must be one text")
            case _:
                raise CapeError("malformed_frame", "there is no such method")
        try:
            value = memoryview(text.encode("ascii") if isinstance(text, str) else text)
            if method == "CapeEncryptRPC.Encrypt":
                plaintext = Gathered(len(value))
                for piece in base64pieces.decoded(value):
                    plaintext.add(piece)
                yield from self._rpc.encrypt(plaintext.content)
            else:
                yield from base64pieces.encoded_of(self._rpc.decrypt(value))
        except (binascii.Error, UnicodeError) as error:
            raise CapeError("malformed_frame", "the parameter is not base64") from error
        except CapeError:
            raise
        except Exception as error:
            _log.error("a function's request failed", extra={"exception": type(error).__name__})
            raise CapeError("function_failed", "internal error") from error


def _bind(listener: socket.socket, folder: Path) -> None:
    # By descriptor, because a socket's path has at most 107 bytes. The function's own is relative.
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path = f"/proc/self/fd/{descriptor}/{SOCKET}"
        listener.bind(path)
        # A function may have a user id of its own; who connects is looked at in any case.
        Path(path).chmod(0o666)
    finally:
        os.close(descriptor)


async def _read(reader: asyncio.StreamReader, long: asyncio.Lock) -> dict[str, Any]:
    """Read a request, which ends when it is complete. Long requests queue. Raises `CapeError`."""
    received = bytearray()
    attempts = 0
    async with contextlib.AsyncExitStack() as turn:
        while chunk := await reader.read(_CHUNK):
            if len(received) <= _CHUNK < len(received) + len(chunk):
                await turn.enter_async_context(long)
            received += chunk
            if len(received) > MAX_MESSAGE_BYTES:
                raise CapeError("too_large", f"a request has at most {MAX_MESSAGE_BYTES} bytes")
            if received[-_MAX_WHITE_SPACE:].rstrip().endswith(b"}") and attempts < _MAX_ATTEMPTS:
                attempts += 1
                if (request := rpcrequest.parse(received)) is not None:
                    return request
    raise CapeError("malformed_frame", "the request is not a JSON object")


def _failure(number: object, text: str) -> bytes:
    return json.dumps({"id": _id(number), "result": None, "error": text}).encode()


def _id(number: object) -> int | str | None:
    return number if isinstance(number, int | str) else None
