"""Gateways with other settings before the shared enclave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from blindsight_cli import localca
from tests.support.rawhttp import Connection
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

STRICT = {
    "max_image_bytes": 100_000,
    "max_batch_images": 4,
    "max_batch_bytes": 300_000,
    "max_in_flight": 1,
    "body_timeout": 1,
    "deadline": 2,
}


@pytest.fixture(scope="session")
def strict_gateway(tiny_stack: Stack) -> Iterator[Gateway]:
    """A gateway with one place, small limits and short times."""
    with tiny_stack.another_gateway(**STRICT) as gateway:
        yield gateway


@dataclass(frozen=True)
class Front:
    """A gateway with everything that listens: HTTP, HTTPS, metrics, and the Cape host's WebSockets."""

    gateway: Gateway
    tls_port: int
    ca: Path

    def connect(self, listener: str, *, seconds: float = 30) -> Connection:
        """A raw connection to one of its listeners: `plain`, `tls` or `metrics`."""
        if listener == "tls":
            return Connection(self.tls_port, seconds=seconds, ca=self.ca)
        port = self.gateway.port if listener == "plain" else self.gateway.metrics_port
        return Connection(port, seconds=seconds)


@pytest.fixture(scope="session")
def front(tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    files, tls_port = localca.ensure(folder / "tls", ["127.0.0.1"]), free_port()
    settings = {
        "tls_port": tls_port,
        "tls_certificate": files.certificate,
        "tls_key": files.key,
        "database": f"sqlite:///{folder / 'cape.sqlite'}",
        "bundles": folder / "bundles",
    }
    with tiny_stack.another_gateway(**settings) as gateway:
        yield Front(gateway, tls_port, files.ca)
