"""The gateway's application on a real listener in a thread, for tests that must reach into it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from gateway import serve
from gateway.app import create_app
from gateway.settings import Settings
from tests.support.waiting import wait_until
from tests.support.wire import loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    import uvicorn

    from gateway.services import Services
    from tests.support.stack import Stack


@dataclass(frozen=True)
class RunningApp:
    port: int
    services: Services
    client: httpx2.Client


@contextlib.contextmanager
def running_app(stack: Stack, **settings: object) -> Iterator[RunningApp]:
    """Serve the application before the stack's enclave, with the gateway's own listener, until the block ends."""
    ours = {"policy": stack.policy_file, "enclave": loopback(stack.enclave_port), "_env_file": None}
    fields = {**ours, "enclave_secret_file": stack.state / "gateway_secret", **settings}
    app = create_app(Settings(**fields))
    server, listener = serve._server(app, "127.0.0.1", 0, drain=5)
    thread = threading.Thread(target=_run, args=(server, listener))
    thread.start()
    port = listener.getsockname()[1]
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            services: Services = app.state.services
            wait_until("application ready", lambda: server.started and services.fleet.ready)
            yield RunningApp(port, services, client)
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listener.close()
    assert not thread.is_alive()


def _run(server: uvicorn.Server, listener: object) -> None:
    asyncio.run(server.serve(sockets=[listener]))
