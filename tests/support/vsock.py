"""AF_VSOCK and its multiplexer without either: a machine's own vsock is its host's, and no test opens it."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from blindsight.wire.address import ANY_CID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class VsockLike(socket.socket):
    """A socket that takes vsock's addresses, `(cid, port)`, and uses Unix sockets in a folder instead."""

    def __init__(self, folder: Path) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._folder = folder

    def _path(self, address: tuple[int, int]) -> str:
        cid, port = address
        return str(self._folder / f"{'any' if cid == ANY_CID else cid}-{port}")

    def connect(self, address: tuple[int, int]) -> None:
        super().connect(self._path(address))

    def bind(self, address: tuple[int, int]) -> None:
        super().bind(self._path(address))


def vsock_in(folder: Path) -> Callable[[int, int], socket.socket]:
    """What makes sockets of AF_VSOCK, in tests."""

    def make(family: int, kind: int) -> socket.socket:
        assert (family, kind) == (socket.AF_VSOCK, socket.SOCK_STREAM)
        return VsockLike(folder)

    return make


class Monitor:
    """The host's end of a virtual machine's vsock, as Firecracker and vhost-device-vsock multiplex it on `path`.

    `guests` are the machine's ports, and the Unix sockets that stand for what listens there. A client says `CONNECT N`
    and a line feed and is told `OK M`; for a port that nothing listens on the connection is closed.
    """

    def __init__(self, path: Path, guests: Mapping[int, Path]) -> None:
        self._guests = guests
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self.connected: list[int] = []
        """The ports asked for, one for each connection."""

    def __enter__(self) -> Monitor:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # The listener was shut down.
            self._open.add(near)
            self._start(self._serve, near)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _serve(self, near: socket.socket) -> None:
        line = b""
        with contextlib.suppress(OSError):  # Either side may hang up at any time.
            while not line.endswith(b"\n") and (byte := near.recv(1)):
                line += byte
        verb, _, port = line.decode().strip().partition(" ")
        far = socket.socket(socket.AF_UNIX)
        self._open.add(far)
        try:
            assert verb == "CONNECT"
            self.connected.append(int(port))
            far.connect(str(self._guests[int(port)]))
            near.sendall(b"OK 1073741824\n")
        except (OSError, KeyError):
            near.shutdown(socket.SHUT_RDWR)
            return
        self._start(_pump, near, far)
        _pump(far, near)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # Either side may hang up at any time.
        while chunk := source.recv(1 << 16):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
