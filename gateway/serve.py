"""Serving: the public listener, the metrics listener, and an orderly shutdown."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
from typing import TYPE_CHECKING, Any, Final

from gateway.app import create_app
from gateway.connections import Connections
from gateway.hosts import KnownHosts
from gateway.http1 import BoundedHttp
from gateway.listener import Limits, ListenerConfig, Server
from gateway.metrics import MetricsApp
from gateway.websocket import StreamingWebSocket

if TYPE_CHECKING:
    from gateway.services import Services
    from gateway.settings import Settings

_log = logging.getLogger(__name__)

_OTHER_FILES: Final = 256
"""File descriptors for the enclave, the database, ciphertexts and logs."""
_SCRAPERS: Final = 64
"""Connections to the metrics listener."""


async def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT.

    Raises what `create_app` raises, `StoreUnusable`, and `OSError` if an address is taken.
    """
    app = create_app(settings)
    services: Services = app.state.services
    if services.cape is not None:
        # Before anything listens: a store that cannot be used ends the start with one line.
        await services.cape.store.upgrade()
    _allow_files(settings.max_connections)
    limits = _limits(settings, services)
    servers = [_server(app, settings.host, settings.port, drain=settings.drain_seconds, limits=limits)]
    if settings.tls_port is not None:
        tls = {"certificates": services.certificates, "lifespan": "off"}
        servers.append(
            _server(app, settings.host, settings.tls_port, drain=settings.drain_seconds, limits=limits, **tls)
        )
    if settings.metrics_port:
        metrics = KnownHosts(MetricsApp(services.metrics), settings.known_metrics_hosts, services.metrics)
        few = Limits(Connections(_SCRAPERS, _SCRAPERS))
        servers.append(_server(metrics, settings.metrics_host, settings.metrics_port, drain=1, limits=few, ws="none"))

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
    if settings.audit_log is not None:
        loop.add_signal_handler(signal.SIGHUP, services.audit.reopen)
    _log.info("listening", extra={"url": f"http://{settings.host}:{servers[0][1].getsockname()[1]}"})
    await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers))
    return 0


def _limits(settings: Settings, services: Services) -> Limits:
    """The limits of all public listeners."""
    return Limits(
        connections=Connections(settings.max_connections, settings.max_connections_per_address, settings.known_proxies),
        root_path=settings.root_path,
        proxies=settings.known_proxies,
        keepalive_seconds=settings.keepalive_timeout,
        body_seconds=settings.body_timeout,
        response_seconds=settings.response_timeout,
        turned_away=lambda reason: services.metrics.rejected.labels(reason).inc(),
    )


def _allow_files(connections: int) -> None:
    """Raise the process's limit of open files for `connections`, as far as the system permits."""
    # A Cape client's connection takes another one to the enclave.
    wanted = 2 * connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _log.warning("too few file descriptors for BLINDSIGHT_MAX_CONNECTIONS: raise the hard limit (ulimit -Hn)")


def _server(
    app: Any,  # noqa: ANN401 -- an ASGI application
    host: str,
    port: int,
    *,
    drain: float,
    limits: Limits | None = None,
    **options: Any,  # noqa: ANN401 -- uvicorn's
) -> tuple[Server, socket.socket]:
    config = ListenerConfig(
        app,
        limits=limits or Limits(),
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
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host}, port {port}: {error.strerror}") from error
    return Server(config), listener
