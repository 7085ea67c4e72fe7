"""The application: services, middleware, routes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

import blindsight
from gateway import errors, openapi
from gateway.admission import Admission, Places
from gateway.api import attestation, classify, health, pages, sealed
from gateway.cors import SharedWithPages
from gateway.early import EarlyRefusal
from gateway.enclave.attested import AttestedEnclave
from gateway.enclave.connection import EnclaveConnections
from gateway.enclave.exchange import EnclaveExchange
from gateway.enclave.fleet import Fleet
from gateway.enclave.member import Member
from gateway.forwarded import FromProxies
from gateway.head import HeadAsGet
from gateway.hosts import KnownHosts
from gateway.metrics import EnclaveMetrics, Metrics
from gateway.middleware import OneSlash, RequestMiddleware
from gateway.origins import OwnPagesOnly
from gateway.policyfile import PolicyFile
from gateway.rootpath import RootPath
from gateway.services import Authenticator, Services, in_background
from gateway.tokens import TokenStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from blindsight.attestation.policy import Policy
    from blindsight.wire.address import Address
    from gateway.cape.services import CapeServices
    from gateway.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Assemble the gateway. Raises `PolicyError` or `BadTokenFile` for invalid files."""
    make_cape = None
    if settings.database is not None:
        from gateway.cape import host  # noqa: PLC0415 -- with SQLAlchemy, a quarter of the time of a start

        make_cape = host.services
    services = _services(settings, make_cape)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as running:
            running.push_async_callback(services.fleet.close)
            await running.enter_async_context(in_background(services.fleet.watch()))
            await running.enter_async_context(in_background(services.policy_file.watch(services.fleet.use)))
            if services.tokens is not None:
                await running.enter_async_context(in_background(services.tokens.watch()))
            if services.cape is not None:
                await host.start(services, services.cape, running)
            yield

    app = FastAPI(
        title="Blindsight",
        summary="Confidential image classification: a photo in, an attested top-5 out.",
        description=openapi.DESCRIPTION,
        version=blindsight.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # A redirect to the path without its last slash would repeat the caller's query and Host.
        redirect_slashes=False,
        # FastAPI's own OpenTelemetry would keep request bodies within reach of span processors; None leaves it on.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    app.state.services = services
    # The last one added is asked first.
    app.add_middleware(HeadAsGet)
    app.add_middleware(EarlyRefusal, admission=services.admission, authenticate=services.authenticate)
    app.add_middleware(OwnPagesOnly, trusted=settings.trusted_origins, metrics=services.metrics)
    app.add_middleware(KnownHosts, hosts=settings.known_hosts, metrics=services.metrics)
    app.add_middleware(RequestMiddleware, metrics=services.metrics)
    app.add_middleware(SharedWithPages, trusted=settings.trusted_origins)
    app.add_middleware(FromProxies, proxies=settings.known_proxies)
    app.add_middleware(RootPath, root=settings.root_path)
    app.add_middleware(OneSlash)
    errors.install(app)
    for module in (classify, sealed, attestation, health, pages):
        app.include_router(module.router)
    if services.cape is not None:
        for router in host.ROUTERS:
            app.include_router(router)
    app.mount("/static", StaticFiles(directory=pages.STATIC), name="static")
    openapi.describe(app, services)
    return app


def _services(settings: Settings, make_cape: Callable[..., CapeServices | None] | None) -> Services:
    metrics = Metrics()
    policy_file = PolicyFile(settings.policy)
    fleet = Fleet(
        settings.enclaves,
        # One that joins later is judged by the policy of then.
        lambda address: _member(address, policy_file.in_force, settings, metrics),
        policy_file.in_force,
        deadline=settings.deadline,
    )
    tokens = TokenStore.load(settings.tokens_file) if settings.tokens_file else None
    authenticate = Authenticator(tokens, metrics).authenticate
    evidence_places = Places(settings.max_evidence_requests, metrics)
    cape = make_cape and make_cape(
        settings, fleet.members[0], metrics=metrics, tokens=tokens, evidence_places=evidence_places
    )
    return Services(
        settings=settings,
        metrics=metrics,
        tokens=tokens,
        authenticate=authenticate,
        cape=cape,
        admission=Admission(settings.max_in_flight, metrics),
        evidence_places=evidence_places,
        fleet=fleet,
        policy_file=policy_file,
    )


def _member(address: Address, policy: Policy, settings: Settings, metrics: Metrics) -> Member:
    connections = EnclaveConnections(address, settings.enclave_secret_file)
    enclave = AttestedEnclave(
        connections,
        policy,
        EnclaveMetrics(metrics, str(address)),
        attest_interval=settings.attest_interval,
        status_interval=settings.status_interval,
    )
    return Member(
        address, connections, enclave, EnclaveExchange(enclave, connections, metrics, deadline=settings.deadline)
    )
