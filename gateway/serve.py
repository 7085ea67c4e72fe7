"""Serving: the public listener, the metrics listener of its own, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from gateway.app import create_app
from gateway.listener import ListenerConfig
from gateway.metrics import MetricsApp
from gateway.protocol import BoundedHttp
from gateway.websocket import StreamingWebSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.services import Services
    from gateway.settings import Settings

_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Leaves signals to `serve`, which has two servers to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT.

    Raises what `create_app` raises, `StoreUnusable`, and `OSError` if an address is taken.
    """
    app = create_app(settings)
    services: Services = app.state.services
    if services.cape is not None:
        # Before anything listens: a store that cannot be used ends the start with one line.
        await services.cape.store.upgrade()
    servers = [_server(app, settings.host, settings.port, drain=settings.drain_seconds)]
    if settings.tls_port is not None:
        tls = {"ssl_certfile": settings.tls_certificate, "ssl_keyfile": settings.tls_key, "lifespan": "off"}
        servers.append(_server(app, settings.host, settings.tls_port, drain=settings.drain_seconds, **tls))
    if settings.metrics_port:
        metrics = MetricsApp(services.metrics)
        servers.append(_server(metrics, settings.metrics_host, settings.metrics_port, drain=1, ws="none"))

    def stop() -> None:
        _log.info("draining")
        services.admission.draining = True
        if services.cape is not None:
            services.cape.sessions.draining.set()
        for server, _ in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    _log.info("listening", extra={"url": f"http://{settings.host}:{servers[0][1].getsockname()[1]}"})
    await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers))
    return 0


def _server(
    app: Any,  # noqa: ANN401 -- an ASGI application
    host: str,
    port: int,
    *,
    drain: float,
    **options: Any,  # noqa: ANN401 -- uvicorn's
) -> tuple[_Server, socket.socket]:
    config = ListenerConfig(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(drain),
        http=BoundedHttp,
        # Clients ping us, and idle ones are closed; a ping of ours would wait behind a client's own long message.
        ws_ping_interval=None,
        # The gateway is the outermost hop unless its operator says otherwise.
        proxy_headers=False,
        **{"ws": StreamingWebSocket, **options},
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it, small answers wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host}, port {port}: {error.strerror}") from error
    return _Server(config), listener
