"""`python -m gateway forward`: forwards connections of an enclave to one destination.

An enclave has no network. It reaches AWS KMS and the metadata service through its parent instance. The forwarder passes
on bytes, mostly TLS that ends inside the enclave, and parses none of them.

The forwarder trusts neither the enclave, which can choose neither name nor port, nor DNS: it resolves the name for each
connection, and accepts only public addresses. Otherwise a forged DNS answer (DNS rebinding) could lead the enclave to
the metadata service, which returns the instance's credentials, or to services on the instance. The operator lists
networks of his own, such as that of a VPC endpoint; an IP address as destination is used as given.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from blindsight.arguments import seconds, whole
from blindsight.errors import AddressError, TransportError
from blindsight.wire.address import CONNECT_SECONDS, Address, listen, peer_cid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from blindsight.wire.address import MakeSocket

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network
    IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
    Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
    Resolve = Callable[[str, int], Awaitable[Sequence[IpAddress]]]

_log = logging.getLogger(__name__)

_PIECE: Final = 64 * 1024
"""Bytes read at a time, after which a writer waits. asyncio's readers buffer two of them, so one direction buffers
four."""
_QUIET_SECONDS: Final = 10.0
"""Minimum interval between two log lines of the same kind, since an enclave can cause many."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_NEVER: Final = tuple(
    ipaddress.ip_network(text)
    # This host, link-local with AWS's metadata service, and that service over IPv6.
    for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::/127", "fe80::/10", "fd00:ec2::/32")
)


@dataclass(frozen=True)
class Destination:
    """The destination of all connections."""

    host: str
    port: int
    networks: tuple[Network, ...] = ()
    """The operator's networks, which the name can resolve to besides public addresses."""

    @classmethod
    def parse(cls, text: str, networks: Sequence[str] = ()) -> Destination:
        """`HOST:PORT`, and networks in CIDR notation. Raises `AddressError` (`invalid_address`)."""
        address = Address.parse(f"tcp://{text}")
        try:
            parsed = tuple(ipaddress.ip_network(network) for network in networks)
        except ValueError as error:
            raise AddressError("invalid_address", f"A network is written as 10.0.0.0/16: {error}.") from error
        for network in parsed:
            if any(network.version == never.version and network.overlaps(never) for never in _NEVER):
                raise AddressError("invalid_address", f"No name may lead into {network}; give its address instead.")
        return cls(address.host, address.port, parsed)

    def __str__(self) -> str:
        return str(Address("tcp", host=self.host, port=self.port)).removeprefix("tcp://")

    @property
    def literal(self) -> IpAddress | None:
        """`host` as an IP address; None for a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    def takes(self, found: IpAddress) -> bool:
        """Whether the resolved address `found` is permitted."""
        inner = _inner(found)
        if any(inner in network for network in _NEVER):
            return False
        public = inner.is_global and not (inner.is_multicast or inner.is_reserved or inner.is_unspecified)
        return public or any(inner in network for network in self.networks)


def _inner(found: IpAddress) -> IpAddress:
    """The IPv4 address inside an IPv6 address: mapped, 6to4, Teredo or NAT64."""
    if isinstance(found, ipaddress.IPv4Address):
        return found
    if found in _NAT64:
        return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    teredo = found.teredo[1] if found.teredo else None
    return found.ipv4_mapped or found.sixtofour or teredo or found


async def resolve(host: str, port: int) -> list[IpAddress]:
    """Resolve with the system's resolver. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


@dataclass(frozen=True)
class Bounds:
    """Limits of one forwarder."""

    connections: int = 64
    idle_seconds: float = 60.0
    """A connection without a byte in either direction for this time is closed."""
    drain_seconds: float = 25.0


class Forwarder:
    """Forwards connections to one destination."""

    def __init__(
        self,
        destination: Destination,
        *,
        from_cids: Sequence[int] = (),
        bounds: Bounds | None = None,
        resolve: Resolve = resolve,
        peer: Callable[[asyncio.StreamWriter], int | None] = peer_cid,
    ) -> None:
        """`from_cids`: accepted CIDs; empty: any. `peer` returns the CID of a connection."""
        self._destination = destination
        self._from_cids = frozenset(from_cids)
        self._bounds = bounds or Bounds()
        self._resolve = resolve
        self._peer = peer
        self._open: set[asyncio.Task[None]] = set()
        self._told: dict[str, float] = {}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until it ends; the callback of `listen`."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- a callback always runs in a task
        if self._from_cids and self._peer(writer) not in self._from_cids:
            self._tell("connection of another machine refused")
            writer.transport.abort()
            return
        if len(self._open) >= self._bounds.connections:
            self._tell("too many connections")
            writer.transport.abort()
            return
        self._open.add(task)
        try:
            await self._carry(reader, writer)
        except (OSError, TransportError, TimeoutError) as error:
            self._tell("connection ended early", reason=str(error) if isinstance(error, TransportError) else None)
        except asyncio.CancelledError:
            # The forwarder ends. Passed on, it would be logged as a failure: nothing waits for this callback.
            self._tell("connection cut at the end")
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def drain(self) -> None:
        """Let open connections end, for at most the drain time."""
        if self._open:
            await asyncio.wait(set(self._open), timeout=self._bounds.drain_seconds)
        left = set(self._open)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._connect()
        moved = _Moved(self._bounds.idle_seconds)
        directions = [
            asyncio.ensure_future(_copy(source, sink, moved))
            for source, sink in ((reader, far_writer), (far_reader, writer))
        ]
        try:
            await _both(directions, moved)
            far_writer.close()
            writer.close()
            # What is still in their buffers is theirs: it leaves before either is gone.
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._bounds.idle_seconds):
                    await far_writer.wait_closed()
                    await writer.wait_closed()
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            far_writer.transport.abort()

    async def _connect(self) -> Streams:
        """Connect to the first of the destination's addresses that answers. Raises `TransportError` (`unreachable`)."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                for address in await self._addresses():
                    with suppress(OSError):
                        return await asyncio.open_connection(str(address), self._destination.port)
        except (OSError, TimeoutError) as error:
            raise self._unreachable("no answer") from error
        raise self._unreachable("no address answers")

    async def _addresses(self) -> list[IpAddress]:
        literal = self._destination.literal
        if literal is not None:
            return [literal]
        found = await self._resolve(self._destination.host, self._destination.port)
        allowed = [address for address in found if self._destination.takes(address)]
        if not allowed:
            raise self._unreachable("its name leads to no public address")
        return allowed

    def _unreachable(self, reason: str) -> TransportError:
        return TransportError("unreachable", f"{self._destination} cannot be reached: {reason}.")

    def _tell(self, event: str, *, reason: str | None = None) -> None:
        now = time.monotonic()
        if now - self._told.get(event, -_QUIET_SECONDS) >= _QUIET_SECONDS:
            self._told[event] = now
            _log.warning(event, extra={"reason": reason} if reason else {})


class _Moved:
    """The time of a connection's last byte in either direction."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._at = time.monotonic()

    def note(self) -> None:
        self._at = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds until the connection has been idle for too long."""
        return self._at + self._idle_seconds - time.monotonic()


async def _both(directions: Sequence[asyncio.Future[None]], moved: _Moved) -> None:
    """Run both directions until they end, or one fails. Raises `OSError`; `TimeoutError` for an idle connection."""
    waiting = set(directions)
    while waiting:
        done, waiting = await asyncio.wait(waiting, timeout=max(moved.left, 0), return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
        if waiting and not done and moved.left <= 0:
            raise TimeoutError


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, moved: _Moved) -> None:
    """Copy one direction until its end, and pass the end on; the other direction can continue."""
    sink.transport.set_write_buffer_limits(high=_PIECE)
    while piece := await source.read(_PIECE):
        sink.write(piece)
        await sink.drain()
        moved.note()
    if sink.can_write_eof():
        sink.write_eof()
    moved.note()


async def serve(where: str, forwarder: Forwarder, *, make_socket: MakeSocket = socket.socket) -> int:
    """Forward until SIGTERM or SIGINT. Raises `AddressError`."""
    address = Address.parse(where)
    if address.scheme == "tcp" and not _is_loopback(address.host):
        raise AddressError("invalid_address", f"{where} would lend the destination to the network: listen on vsock.")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listener = await listen(address, forwarder.handle, make_socket=make_socket)
    _log.info("forwarding", extra={"url": str(address)})
    await stop.wait()
    _log.info("draining")
    listener.close()
    await forwarder.drain()
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def add_options(command: Any) -> None:  # noqa: ANN401 -- an argparse parser
    """The options of `python -m gateway forward`."""
    command.add_argument("--listen", required=True, metavar="URL", help="where the enclave connects: vsock://-1:8000")
    command.add_argument("--to", required=True, metavar="HOST:PORT", help="the one destination")
    command.add_argument(
        "--from-cid", type=int, action="append", default=[], metavar="N", help="take this machine's connections only"
    )
    command.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="CIDR",
        help="of your own, which the name may lead to beside public addresses: a VPC endpoint's",
    )
    command.add_argument(
        "--connections", type=whole, default=Bounds.connections, help="open at once (default %(default)s)"
    )
    command.add_argument(
        "--idle-seconds",
        type=seconds,
        default=Bounds.idle_seconds,
        help="end a silent one (default %(default)s)",
    )
    command.add_argument(
        "--drain-seconds", type=float, default=Bounds.drain_seconds, help="after SIGTERM (default %(default)s)"
    )


async def run(arguments: Any) -> int:  # noqa: ANN401 -- an argparse namespace
    """Forward according to the options. Raises `AddressError`."""
    if arguments.from_cid and Address.parse(arguments.listen).scheme != "vsock":
        raise AddressError("invalid_address", "--from-cid needs --listen vsock://…: other connections have no CID.")
    bounds = Bounds(arguments.connections, arguments.idle_seconds, arguments.drain_seconds)
    destination = Destination.parse(arguments.to, arguments.network)
    return await serve(arguments.listen, Forwarder(destination, from_cids=arguments.from_cid, bounds=bounds))
