"""Stores on both databases, and the REST half of the Cape front door before a fake enclave."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import httpx2
import pytest
from fastapi import FastAPI

from gateway import errors
from gateway.cape import device, device_page, rest
from gateway.cape.bundles import Bundles
from gateway.cape.services import CapeServices
from gateway.cape.store import Store
from gateway.metrics import Metrics
from gateway.middleware import RequestMiddleware
from tests.support import postgres
from tests.support.cape_front import Front
from tests.support.fake_cape_enclave import FakeCapeEnclave

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    database: str = request.getfixturevalue("postgres_database")
    return database


@pytest.fixture
def postgres_database(postgres_server: str) -> str:
    """An empty database of PostgreSQL."""
    return postgres.new_database(postgres_server)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    store = Store(store_url)
    await store.upgrade()
    yield store
    await store.close()


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    """The endpoints as the gateway serves them: with its middleware and its handlers of problems."""
    store = Store(f"sqlite:///{tmp_path}/store.db")
    await store.upgrade()
    bundles, enclave = Bundles(tmp_path / "bundles"), FakeCapeEnclave()
    app = FastAPI(redirect_slashes=False)
    app.state.services = SimpleNamespace(cape=CapeServices(store, bundles, enclave, _no_token_required), limiter=None)
    app.add_middleware(RequestMiddleware, metrics=Metrics())
    errors.install(app)
    for router in (rest.router, device.router, device_page.router):
        app.include_router(router)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://cape.test") as client:
        yield Front(client, store, bundles, enclave, app)
    await store.close()


def _no_token_required(_: Request) -> None:
    return None
