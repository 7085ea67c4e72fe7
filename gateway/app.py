"""The application: services, middleware, routes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

import blindsight
from gateway import errors, openapi
from gateway.admission import Admission, Places
from gateway.api import attestation, classify, health, pages, sealed
from gateway.audit import facts
from gateway.audit.log import Audit
from gateway.certificates import CertificateFiles
from gateway.cors import SharedWithPages
from gateway.early import EarlyRefusal
from gateway.enclave.attested import AttestedEnclave
from gateway.enclave.connection import EnclaveConnections
from gateway.enclave.exchange import EnclaveExchange
from gateway.enclave.fleet import Fleet
from gateway.enclave.member import Member, id_of
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
from gateway.tracing import start
from gateway.tracing.middleware import ServerSpans

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from fastapi import APIRouter

    from blindsight.attestation.policy import Policy
    from blindsight.wire.address import Address
    from gateway.cape.services import CapeServices
    from gateway.settings import Settings
    from gateway.tracing.current import Tracer

_STATIC: Final = "/static"


def create_app(settings: Settings) -> FastAPI:
    """Assemble the gateway. Raises `PolicyError` or `BadTokenFile` for invalid files, `OSError` for those of TLS."""
    make_cape = None
    if settings.database is not None:
        from gateway.cape import host  # noqa: PLC0415 -- with SQLAlchemy, a quarter of the time of a start

        make_cape = host.services
    metrics = Metrics()
    audit = Audit(settings.audit_log, metrics.audit_lost)
    tracer = _tracer(settings, metrics)
    policy_file = PolicyFile(settings.policy, audit)
    services = _services(settings, policy_file, _Told(metrics, audit, tracer), make_cape)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as running:
            running.push_async_callback(_stopped, audit)
            version = blindsight.__version__
            audit.note("gateway.started", details={"version": version, "settings": facts.names_of(settings)})
            policy_file.note()
            if services.certificates is not None:
                services.certificates.note()
                await running.enter_async_context(in_background(services.certificates.watch()))
            if tracer is not None:
                running.push_async_callback(tracer.close)
            running.push_async_callback(services.fleet.close)
            await running.enter_async_context(in_background(services.fleet.watch()))
            await running.enter_async_context(in_background(services.policy_file.watch(services.fleet.use)))
            if services.tokens is not None:
                await running.enter_async_context(in_background(services.tokens.watch(audit)))
            if services.limiter is not None:
                await running.enter_async_context(in_background(services.limiter.watch()))
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
    if services.limiter is not None:
        from gateway.ratelimits.middleware import RateLimited  # noqa: PLC0415 -- only with limits

        app.add_middleware(RateLimited, limiter=services.limiter, authenticate=services.authenticate)
    app.add_middleware(EarlyRefusal, admission=services.admission, authenticate=services.authenticate)
    app.add_middleware(OwnPagesOnly, trusted=settings.trusted_origins, metrics=services.metrics)
    app.add_middleware(KnownHosts, hosts=settings.known_hosts, metrics=services.metrics)
    app.add_middleware(RequestMiddleware, metrics=services.metrics)
    if tracer is not None:
        app.add_middleware(ServerSpans, tracer=tracer)
    app.add_middleware(SharedWithPages, trusted=settings.trusted_origins)
    app.add_middleware(FromProxies, proxies=settings.known_proxies)
    app.add_middleware(RootPath, root=settings.root_path)
    app.add_middleware(OneSlash)
    errors.install(app)
    for router in _routers(settings):
        app.include_router(router)
    app.mount(_STATIC, StaticFiles(directory=pages.STATIC), name="static")
    openapi.describe(app, services)
    return app


async def _stopped(audit: Audit) -> None:
    audit.note("gateway.stopped", details={"version": blindsight.__version__})
    await audit.close()


def _routers(settings: Settings) -> list[APIRouter]:
    routers = [module.router for module in (classify, sealed, attestation, health, pages)]
    if settings.database is not None:
        from gateway.cape import host  # noqa: PLC0415 -- as in create_app

        routers += host.ROUTERS
    return routers


def _tracer(settings: Settings, metrics: Metrics) -> Tracer | None:
    if settings.traces is None:
        return None
    templates = {getattr(route, "path", "") for router in _routers(settings) for route in router.routes}
    routes = {*templates, _STATIC, "/openapi.json"}
    return start.tracer(settings.traces, settings.traces_ratio, routes=routes, lost=metrics.spans_lost)


@dataclass(frozen=True)
class _Told:
    """What is told of what happens."""

    metrics: Metrics
    audit: Audit
    tracer: Tracer | None


def _services(
    settings: Settings, policy_file: PolicyFile, told: _Told, make_cape: Callable[..., CapeServices | None] | None
) -> Services:
    metrics, audit = told.metrics, told.audit
    fleet = Fleet(
        settings.enclaves,
        # One that joins later is judged by the policy of then.
        lambda address: _member(address, policy_file.in_force, settings, told),
        policy_file.in_force,
        deadline=settings.deadline,
    )
    tokens = TokenStore.load(settings.tokens_file) if settings.tokens_file else None
    authenticate = Authenticator(tokens, metrics).authenticate
    evidence_places = Places(settings.max_evidence_requests, metrics)
    cape = make_cape and make_cape(
        settings, fleet, metrics=metrics, tokens=tokens, evidence_places=evidence_places, audit=audit
    )
    limiter = None
    if settings.rate_limit is not None or settings.quota is not None:
        from gateway.ratelimits import assembly  # noqa: PLC0415 -- with `limits`, 150 ms

        limiter = assembly.limiter(settings, metrics, tokens)
    return Services(
        settings=settings,
        metrics=metrics,
        tokens=tokens,
        authenticate=authenticate,
        cape=cape,
        admission=Admission(settings.max_in_flight, metrics),
        evidence_places=evidence_places,
        audit=audit,
        fleet=fleet,
        limiter=limiter,
        policy_file=policy_file,
        certificates=_certificates(settings, audit, metrics),
    )


def _certificates(settings: Settings, audit: Audit, metrics: Metrics) -> CertificateFiles | None:
    if settings.tls_port is None or settings.tls_certificate is None or settings.tls_key is None:
        return None
    return CertificateFiles(settings.tls_certificate, settings.tls_key, audit, metrics.certificate_end)


def _member(address: Address, policy: Policy, settings: Settings, told: _Told) -> Member:
    member_id = id_of(address)
    connections = EnclaveConnections(address, settings.enclave_secret_file)
    enclave = AttestedEnclave(
        connections,
        policy,
        EnclaveMetrics(told.metrics, str(address)),
        attest_interval=settings.attest_interval,
        status_interval=settings.status_interval,
        member_id=member_id,
        tracer=told.tracer,
        audit=told.audit,
    )
    exchange = EnclaveExchange(enclave, connections, told.metrics, deadline=settings.deadline, member_id=member_id)
    return Member(address, connections, enclave, exchange)
