"""Addresses of services as URLs, and connections to them: TCP, Unix sockets and vsock.

    tcp://HOST:PORT           a name, an IPv4 address, or an IPv6 address in brackets
    unix://PATH               an absolute path; only the owner can use the socket (mode 0600)
    unix://PATH?port=N        port N of a virtual machine whose monitor multiplexes its vsock on that socket
                              (Firecracker, Cloud Hypervisor, vhost-device-vsock); for connecting only
    vsock://CID:PORT          AF_VSOCK, vsock(7); CID `*` or -1 is any, for listening only

The protocol of a monitor's socket is that of Firecracker's docs/vsock.md: `CONNECT N\n`, answered by `OK M\n`, and then
the bytes of the virtual machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

from blindsight.errors import AddressError, TransportError
from blindsight.wire import unixsocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    MakeSocket = Callable[[int, int], socket.socket]

CONNECT_SECONDS: Final = 5.0
"""Timeout for connecting, including a monitor's answer."""
ANY_CID: Final = 0xFFFFFFFF
"""VMADDR_CID_ANY of vsock(7)."""

_MAX_PORT: Final = 0xFFFF
_MAX_VSOCK: Final = 0xFFFFFFFE
"""The largest CID and port of AF_VSOCK; the next number means any."""
_MAX_ANSWER_BYTES: Final = 32
"""Of a monitor: `OK `, ten digits and a line feed have 14 bytes."""
_BACKLOG: Final = 100
_FULL_SECONDS: Final = 0.02
"""Interval between attempts at a Unix socket whose backlog is full; the kernel does not notify."""

_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
"""A last label that resolvers treat as part of an IPv4 address."""
_FORMS: Final = "tcp://HOST:PORT, unix:///PATH, unix:///PATH?port=N or vsock://CID:PORT"


@dataclass(frozen=True)
class Address:
    """One of the four forms; unused fields are empty or 0."""

    scheme: Literal["tcp", "unix", "vsock"]
    host: str = ""
    """Of `tcp`, without brackets."""
    path: str = ""
    """Of `unix`, absolute."""
    cid: int = 0
    """Of `vsock`; `ANY_CID` to listen."""
    port: int = 0
    """Of `tcp` and `vsock`, and of the virtual machine behind a monitor's socket."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse one of the four forms. Raises `AddressError` (`invalid_address`) for anything else."""
        scheme, mark, rest = url.partition("://")
        if not mark or not url.isprintable():
            raise _invalid(url, f"it is none of {_FORMS}")
        match scheme:
            case "tcp":
                host, port = _split(url, rest)
                return cls("tcp", host=_host(url, host), port=_number(url, "port", port, most=_MAX_PORT))
            case "unix":
                path, query, port = rest.partition("?port=")
                number = _number(url, "port", port, most=_MAX_VSOCK) if query else 0
                return cls("unix", path=_path(url, path), port=number)
            case "vsock":
                cid, port = _split(url, rest)
                number = ANY_CID if cid in {"*", "-1"} else _number(url, "CID", cid, most=_MAX_VSOCK)
                return cls("vsock", cid=number, port=_number(url, "port", port, most=_MAX_VSOCK))
            case _:
                raise _invalid(url, f"it is none of {_FORMS}")

    def __str__(self) -> str:
        match self.scheme:
            case "tcp":
                return f"tcp://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
            case "unix":
                return f"unix://{self.path}" + (f"?port={self.port}" if self.port else "")
            case "vsock":
                return f"vsock://{'*' if self.cid == ANY_CID else self.cid}:{self.port}"


class Listener:
    """A listening server. Accepted connections continue after it is closed."""

    def __init__(self, server: asyncio.Server, claim: unixsocket.Claim | None = None) -> None:
        self._server = server
        self._claim = claim

    def close(self) -> None:
        """Accept no more connections, and remove the socket's file."""
        if self._claim is not None:
            self._claim.remove()
        self._server.close()


async def connect(
    address: Address, *, seconds: float = CONNECT_SECONDS, make_socket: MakeSocket = socket.socket
) -> Streams:
    """Open a connection within `seconds`; cancelling closes it. `make_socket(family, type)` creates AF_VSOCK sockets.

    Raises `TransportError` (`unreachable`), and `AddressError` for an address that is for listening only.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _connect(address, make_socket)
    except TimeoutError as error:
        raise _unreachable(address, f"no answer within {seconds:g} s") from error
    except OSError as error:
        raise _unreachable(address, error.strerror or "no such host") from error


async def _connect(address: Address, make_socket: MakeSocket) -> Streams:
    if address.scheme == "tcp":
        return await asyncio.open_connection(address.host, address.port)
    if address.scheme == "vsock":
        if address.cid == ANY_CID:
            raise _invalid(str(address), "a connection needs the CID of one machine")
        return await _over(make_socket(_vsock(), socket.SOCK_STREAM), (address.cid, address.port))
    reader, writer = await _over(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), address.path)
    if address.port:
        try:
            await _through(address, reader, writer)
        except BaseException:
            writer.close()
            raise
    return reader, writer


async def listen(address: Address, serve: Serve, *, make_socket: MakeSocket = socket.socket) -> Listener:
    """Listen, and call `serve` for each connection. `make_socket(family, type)` creates AF_VSOCK sockets.

    Raises `AddressError`: `address_taken`, `address_unusable`, `invalid_address` for one that is for connecting only.
    """
    try:
        if address.scheme == "tcp":
            return Listener(await asyncio.start_server(serve, address.host, address.port))
        if address.scheme == "vsock":
            return Listener(await _accepting(_listening(address, make_socket), serve))
        if address.port:
            raise _invalid(str(address), "a port behind a monitor's socket can only be connected to")
        claim = unixsocket.claim(address.path, _BACKLOG)
        try:
            return Listener(await _accepting(claim.socket, serve), claim)
        except BaseException:
            claim.remove()
            raise
    except OSError as error:
        code = "address_taken" if error.errno == errno.EADDRINUSE else "address_unusable"
        raise AddressError(code, f"{address} cannot be listened on: {error.strerror}.") from error


async def _over(connection: socket.socket, target: str | tuple[int, int]) -> Streams:
    """The streams of `connection`, after it has connected to `target`.

    The same for every event loop. uvloop's `sock_connect` resolves AF_VSOCK addresses as host names. Its transport for
    other sockets is that of TCP: libuv sets TCP_NODELAY on it in some versions, and fails, and it cannot determine the
    peer's address. The transport for Unix sockets reads, writes and shuts down any stream.
    """
    try:
        connection.setblocking(False)
        await _reach(connection, target)
        connection = _stream(connection)
        return await asyncio.open_unix_connection(sock=connection)
    except BaseException:
        connection.close()
        raise


async def _reach(connection: socket.socket, target: str | tuple[int, int]) -> None:
    while (code := _begin(connection, target)) == errno.EAGAIN:  # noqa: ASYNC110 -- the kernel gives nothing to wait for
        await asyncio.sleep(_FULL_SECONDS)
    if code != errno.EINPROGRESS:
        return
    loop, settled = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(connection.fileno(), settled.set)
    try:
        await settled.wait()
    finally:
        loop.remove_writer(connection.fileno())
    if code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(code, os.strerror(code))


def _begin(connection: socket.socket, target: str | tuple[int, int]) -> int:
    """The result of `connect`: 0, `EINPROGRESS`, or `EAGAIN` for a Unix socket with a full backlog. Raises
    `OSError`.
    """
    try:
        connection.connect(target)
    except BlockingIOError as error:
        return error.errno or errno.EINPROGRESS
    return 0


def _stream(connection: socket.socket) -> socket.socket:
    """The same socket under a family whose event loop transport sets no TCP options."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=connection.detach())


async def _through(address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Connect to the virtual machine through its monitor. Raises `TransportError` (`unreachable`) or `OSError`."""
    writer.write(f"CONNECT {address.port}\n".encode())
    await writer.drain()
    answer = bytearray()
    # Byte by byte: what follows the line is the virtual machine's.
    while not answer.endswith(b"\n"):
        byte = await reader.read(1)
        if not byte:
            raise _unreachable(address, f"nothing listens on port {address.port} behind it")
        answer += byte
        if len(answer) > _MAX_ANSWER_BYTES:
            raise _unreachable(address, "what listens there is no virtual machine's monitor")
    if not re.fullmatch(rb"OK [0-9]{1,10}\n", answer):
        raise _unreachable(address, "what listens there is no virtual machine's monitor")


def _listening(address: Address, make_socket: MakeSocket) -> socket.socket:
    listener = make_socket(_vsock(), socket.SOCK_STREAM)
    try:
        listener.bind((address.cid, address.port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


async def _accepting(listener: socket.socket, serve: Serve) -> asyncio.Server:
    listener = _stream(listener)
    try:
        return await asyncio.start_unix_server(serve, sock=listener)
    except BaseException:
        listener.close()
        raise


def peer_cid(writer: asyncio.StreamWriter) -> int | None:
    """The CID of a vsock connection's peer; None for other connections."""
    peer = writer.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) and isinstance(peer[0], int) else None


def _vsock() -> int:
    family = getattr(socket, "AF_VSOCK", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "this Python has no AF_VSOCK")
    return int(family)


def _split(url: str, rest: str) -> tuple[str, str]:
    host, mark, port = rest.rpartition(":")
    if not mark:
        raise _invalid(url, "the port is missing")
    return host, port


def _host(url: str, host: str) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else None
    if bare is not None:
        with contextlib.suppress(OSError):
            socket.inet_pton(socket.AF_INET6, bare)
            return bare
        raise _invalid(url, "what is in brackets is not an IPv6 address")
    if re.fullmatch(r"[0-9.]*", host):
        with contextlib.suppress(OSError):
            socket.inet_pton(socket.AF_INET, host)
            return host
        raise _invalid(url, "the host is not an IPv4 address")
    if len(host) > 253 or not _NAME.fullmatch(host) or _NUMERIC.fullmatch(host.rpartition(".")[2]):
        raise _invalid(url, "the host is neither a name nor an address; IPv6 addresses need brackets")
    return host


def _path(url: str, path: str) -> str:
    if not path.startswith("/") or path.endswith("/"):
        raise _invalid(url, "the path of a socket is absolute, as in unix:///run/blindsight/enclave.sock")
    if any(mark in path for mark in "?#%"):
        raise _invalid(url, "nothing but ?port=N may follow the path, and nothing in it is escaped")
    if len(os.fsencode(path)) > unixsocket.MAX_PATH_BYTES:
        raise _invalid(url, f"the path of a socket has at most {unixsocket.MAX_PATH_BYTES} bytes")
    return path


def _number(url: str, what: str, text: str, *, most: int) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > most:
        raise _invalid(url, f"the {what} is a decimal number from 1 to {most}")
    return int(text)


def _invalid(url: str, reason: str) -> AddressError:
    return AddressError("invalid_address", f"{url[:200]!r} is not an address to use here: {reason}.")


def _unreachable(address: Address, reason: str) -> TransportError:
    return TransportError("unreachable", f"{address} cannot be reached: {reason}.")
