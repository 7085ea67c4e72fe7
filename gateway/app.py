"""The application: services, middleware, routes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

import blindsight
from blindsight.attestation.policy import Policy
from gateway import errors
from gateway.admission import Admission
from gateway.api import attestation, classify, health, pages
from gateway.api.models import ProblemDocument
from gateway.enclave.attested import AttestedEnclave
from gateway.enclave.connection import EnclaveConnections
from gateway.enclave.lane import SealedLane
from gateway.metrics import Metrics
from gateway.middleware import RequestMiddleware
from gateway.services import Services
from gateway.tokens import TokenStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Build the gateway. Raises `PolicyError` or `BadTokenFile` for files that cannot be used."""
    services = _services(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watch = asyncio.create_task(services.enclave.watch())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await services.connections.close()

    app = FastAPI(
        title="Blindsight",
        summary="Confidential image classification: a photo in, an attested top-5 out.",
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
    app.add_middleware(RequestMiddleware, metrics=services.metrics)
    errors.install(app)
    for module in (classify, attestation, health, pages):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=pages.STATIC), name="static")
    _describe(app, services)
    return app


def _services(settings: Settings) -> Services:
    metrics = Metrics()
    connections = EnclaveConnections(settings.enclave_host, settings.enclave_port)
    enclave = AttestedEnclave(
        connections,
        Policy.load(settings.policy),
        metrics,
        attest_interval=settings.attest_interval,
        status_interval=settings.status_interval,
    )
    return Services(
        settings=settings,
        metrics=metrics,
        tokens=TokenStore.load(settings.tokens_file) if settings.tokens_file else None,
        admission=Admission(settings.max_in_flight, metrics),
        connections=connections,
        enclave=enclave,
        lane=SealedLane(enclave, connections, metrics, deadline=settings.deadline),
    )


def _describe(app: FastAPI, services: Services) -> None:
    """Correct the generated schema where it would not be true."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        schema = generate()
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})["ProblemDocument"] = ProblemDocument.model_json_schema()
        if services.tokens is not None:
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                _correct(operation, services, classifies=path.startswith("/classify"))
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema


def _correct(operation: dict[str, Any], services: Services, *, classifies: bool) -> None:
    # FastAPI documents its own validation error; ours answers in its place, and only where there are parameters.
    documented = operation["responses"].get("422", {}).get("content", {})
    if "application/json" in documented and "application/problem+json" not in documented:
        del operation["responses"]["422"]
    for response in operation["responses"].values():
        content = response.get("content", {})
        if "application/problem+json" in content:
            content.pop("application/json", None)
    if classifies:
        known = services.enclave.known
        for parameter in operation.get("parameters", []):
            if known and parameter["name"] == "top_k":
                parameter["schema"]["maximum"] = known.classes
                parameter["schema"]["default"] = min(parameter["schema"]["default"], known.classes)
        if services.tokens is not None:
            operation["security"] = [{"token": []}]
