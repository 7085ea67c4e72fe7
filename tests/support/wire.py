"""The enclave's protocol over a blocking socket, and a proxy that records it."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

from blindsight.wire import access, frames
from blindsight.wire.protocol import FrameKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# Below the ports that the kernel gives to connections, which would take one that was only just free; each process of a
# test run has its own.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = itertools.cycle(16_000 + 2_000 * (_WORKER % 8) + (os.getpid() + each) % 2_000 for each in range(2_000))


def free_port() -> int:
    for port in _PORTS:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("unreachable")


def loopback(port: int) -> str:
    """The address of what listens there, as settings and options have it."""
    return f"tcp://127.0.0.1:{port}"


def _connected(where: int | Path, seconds: float) -> socket.socket:
    """A connection to a port of the loopback, or to a Unix socket."""
    if isinstance(where, int):
        return socket.create_connection(("127.0.0.1", where), timeout=seconds)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(seconds)
    try:
        connection.connect(str(where))
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def admitted(where: int | Path, secret_file: Path, *, seconds: float = 10) -> Iterator[tuple[socket.socket, BinaryIO]]:
    """A connection to the enclave there, which knows this secret: for questions, and for their answers."""
    with (
        _connected(where, seconds) as connection,
        connection.makefile("rb") as stream,
    ):
        nonce = secrets.token_bytes(32)
        connection.sendall(frames.encode(FrameKind.GATEWAY_HELLO, nonce))
        kind, challenge = receive(stream)
        if kind is FrameKind.GATEWAY_CHALLENGE:
            proof = access.proof(access.read_secret(secret_file), nonce, challenge)
            connection.sendall(frames.encode(FrameKind.GATEWAY_PROOF, proof))
            kind, _ = receive(stream)
        assert kind is FrameKind.GATEWAY_ADMITTED, kind
        yield connection, stream


def receive(stream: BinaryIO) -> tuple[FrameKind, bytes]:
    """The next frame. Raises `EOFError` if there is none."""
    head = stream.read(5)
    if len(head) < 5:
        raise EOFError
    length, kind = struct.unpack(">IB", head)
    return FrameKind(kind), stream.read(length - 1)


def ask(
    where: int | Path, secret_file: Path, kind: FrameKind, payload: bytes = b"", *, seconds: float = 10
) -> tuple[FrameKind, bytes]:
    """One question on a connection of its own, and its answer. Raises `EOFError` if there is none."""
    with admitted(where, secret_file, seconds=seconds) as (connection, stream):
        connection.sendall(frames.encode(kind, payload))
        return receive(stream)


def status(where: int | Path, secret_file: Path) -> dict[str, Any]:
    """The enclave's status."""
    kind, payload = ask(where, secret_file, FrameKind.STATUS_REQUEST)
    assert kind is FrameKind.STATUS
    return frames.unpack(payload)


class Recorder:
    """A loopback proxy before `upstream` (a port) that keeps all bytes of both directions."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._streams: list[bytearray] = []
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Recorder:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing a listener does not wake the thread that accepts on it; shutting it down does.
        self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)
        for connection in self._open:
            connection.close()
        self._listener.close()

    def streams(self) -> list[bytes]:
        """What was recorded so far: for each connection and direction, its bytes."""
        with self._lock:
            return [bytes(stream) for stream in self._streams]

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # The listener was shut down.
            try:
                far = socket.create_connection(("127.0.0.1", self._upstream))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    stream = bytearray()
                    self._streams.append(stream)
                    thread = threading.Thread(target=self._pump, args=(source, sink, stream))
                    self._threads.append(thread)
                    thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, stream: bytearray) -> None:
        with contextlib.suppress(OSError):  # Either side may hang up at any time.
            while chunk := source.recv(1 << 16):
                with self._lock:
                    stream += chunk
                sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
