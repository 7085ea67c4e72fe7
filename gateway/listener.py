"""The listener: accepts connections while places are free."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import re
import socket
import ssl
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Match, Mount
from uvicorn.config import STARTUP_FAILURE

from gateway.connections import Connections
from gateway.forwarded import Proxies
from gateway.pacing import Pacing
from gateway.rootpath import without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

    from gateway.certificates import CertificateFiles
    from gateway.connections import Place
    from gateway.http1 import BoundedHttp

_log = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = 10.0
"""Timeout for the TLS handshake, and for closing TLS."""
_AT_ONCE: Final = 64
"""Connections accepted before other work continues."""
_PAUSE_SECONDS: Final = 1.0
"""Delay before the next attempt, if the system has no resources and no connection can be closed."""
_QUIET_SECONDS: Final = 60.0
"""Minimum interval between two log lines about this."""
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True)
class Limits:
    """Limits for the connections of a listener. Durations in seconds."""

    connections: Connections = field(default_factory=Connections)
    keepalive_seconds: float = 5
    """A connection without a request for this time is closed."""
    body_seconds: float = 30
    """Time within which a body must arrive that continues after its answer."""
    response_seconds: float = 60
    """Time within which a caller must read a whole answer."""
    pacing: Pacing = field(default_factory=Pacing)
    root_path: str = ""
    """Path prefix under which a proxy serves the gateway."""
    proxies: Proxies = field(default_factory=Proxies)
    turned_away: Callable[[str], None] = field(default=lambda _: None)
    """Called with the reason when a connection is refused or closed."""


class ListenerConfig(uvicorn.Config):
    """uvicorn's configuration, the limits, the certificate, and the WebSocket paths."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        certificates: CertificateFiles | None = None,
        **options: Any,  # noqa: ANN401 -- uvicorn's
    ) -> None:
        """With `certificates`, connections are TLS."""
        super().__init__(app, **options)
        self.limits = limits
        self.certificates = certificates
        self._application = app

    def is_websocket(self, path: str) -> bool:
        """Whether `path`, decoded, is a WebSocket route. An application that is not Starlette's decides itself."""
        app = self._application
        if not isinstance(app, Starlette):
            return True
        below = without(self.limits.root_path, one_slash(path))
        scope = {"type": "websocket", "path": below, "root_path": "", "headers": []}
        # Mounted applications, which serve files, would match by their prefix alone.
        return any(route.matches(scope)[0] is Match.FULL for route in app.routes if not isinstance(route, Mount))


def one_slash(path: str) -> str:
    """`path` without repeated slashes: Cape's clients keep the slash at the end of their base URL."""
    return re.sub("/+", "/", path)


class Server(uvicorn.Server):
    """uvicorn's server with this module's listener. The caller handles signals."""

    config: ListenerConfig

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        listeners = [Listener(self, listening) for listening in sockets or []]
        self.servers = cast("list[asyncio.Server]", listeners)
        self.started = True

    def protocol(self) -> BoundedHttp:
        """One for a new connection."""
        protocol = self.config.http_protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )  # type: ignore[call-arg]  # uvicorn knows it as any `asyncio.Protocol`
        return cast("BoundedHttp", protocol)


class Listener:
    """Accepts connections on one socket. asyncio's own listener would accept without limit, and TLS before it counts.

    While all places are taken, a new connection replaces the one that has waited longest for a request; if none waits,
    new connections stay in the kernel's queue. Connections from an address at its limit are closed.
    """

    def __init__(self, server: Server, listening: socket.socket) -> None:
        self._server = server
        self._limits = server.config.limits
        self._socket = listening
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False
        self._quiet_until = 0.0
        listening.setblocking(False)
        listening.listen(server.config.backlog)
        self._resume()

    def close(self) -> None:
        """Accept no more connections."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket)

    async def wait_closed(self) -> None:
        """For uvicorn, which itself waits for connections."""

    def _resume(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for accepted_now in range(_AT_ONCE):
            if self._limits.connections.full:
                # Called again if more have come; only then a connection has to give way.
                if not accepted_now:
                    self._loop.remove_reader(self._socket)
                    self._make_room()
                return
            try:
                accepted, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._exhausted()
                return
            place = self._limits.connections.enter(str(address[0]))
            if place is None:
                self._limits.turned_away("too_many_connections")
                accepted.close()
                continue
            task = self._loop.create_task(self._open(accepted, place))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _make_room(self) -> bool:
        """Accept again as soon as a place is free; returns whether one will be free at once."""
        self._limits.connections.tell(self._resume)
        if not self._limits.connections.make_room():
            return False
        self._limits.turned_away("made_room")
        return True

    def _exhausted(self) -> None:
        """The system has no resources for another connection."""
        now = self._loop.time()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET_SECONDS
            _log.error("out of file descriptors or memory for connections")
        self._loop.remove_reader(self._socket)
        if not self._make_room():
            self._loop.call_later(_PAUSE_SECONDS, self._resume)

    async def _open(self, accepted: socket.socket, place: Place) -> None:
        protocol = self._server.protocol()
        protocol.place = place
        certificates = self._server.config.certificates
        context = None if certificates is None else certificates.context
        seconds = None if context is None else HANDSHAKE_SECONDS
        try:
            accepted.setblocking(False)
            # asyncio does so itself only where the protocol is named; small answers would wait 40 ms.
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(
                lambda: protocol, accepted, ssl=context, ssl_handshake_timeout=seconds, ssl_shutdown_timeout=seconds
            )
        except (OSError, ssl.SSLError, TimeoutError):
            # The client went away, or did not speak TLS: no answer can reach it.
            accepted.close()
            place.leave()
