"""Probes and discovery. They use cached state and never ask the enclave, so they answer under load."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request

import blindsight
from gateway.api import openapi
from gateway.api.shapes import Health, Info
from gateway.rootpath import root_of
from gateway.services import services_of

router = APIRouter(tags=["operations"])

_LINKS: Final = {
    "classify": "/classify",
    "batch": "/classify/batch",
    "sealed": "/ohttp",
    "keys": "/.well-known/ohttp-gateway",
    "attestation": "/attestation",
    "ready": "/readyz",
    "docs": "/docs",
    "openapi": "/openapi.json",
    "problems": "/problems",
}


@router.get("/livez", response_model=Health, operation_id="getLiveness", summary="The process runs")
async def livez() -> dict[str, str]:
    """200 while the process runs, whatever the state of the enclave."""
    return {"status": "alive"}


@router.get(
    "/readyz",
    response_model=Health,
    responses=openapi.problems("enclave_unavailable", "evidence_refused", "draining"),
    operation_id="getReadiness",
    summary="Requests will be answered",
)
async def readyz(request: Request) -> dict[str, str]:
    """200 while the enclave is verified under the policy and warm."""
    services = services_of(request)
    services.admission.check()
    if not services.fleet.ready:
        raise services.fleet.refusal
    return {"status": "ready"}


# The Open Inference Protocol's names for the same, for probes and tools that know those.
router.add_api_route("/v2/health/live", livez, response_model=Health, operation_id="getServerLive", summary="As /livez")
router.add_api_route(
    "/v2/health/ready",
    readyz,
    response_model=Health,
    responses=openapi.problems("enclave_unavailable", "evidence_refused", "draining"),
    operation_id="getServerReady",
    summary="As /readyz",
)


@router.get("/info", response_model=Info, operation_id="getInfo", summary="What this service is and accepts")
async def info(request: Request) -> dict[str, Any]:
    """Versions, model, limits and links."""
    services = services_of(request)
    settings = services.settings
    known = services.fleet.known
    notices = [known.notice if known else "", services.cape.enclave.notice if services.cape else ""]
    return {
        "name": "blindsight",
        "version": blindsight.__version__,
        "model": None if known is None else known.manifest | {"digest": known.model_digest},
        "confinement": services.fleet.confinement,
        "enclaves": [
            {
                "id": member.id,
                "ready": member.enclave.ready,
                "model_digest": member.enclave.known and member.enclave.known.model_digest,
            }
            for member in services.fleet.members
        ],
        "limits": {
            "max_image_bytes": settings.max_image_bytes,
            "max_batch_images": settings.max_batch_images,
            "max_batch_bytes": settings.max_batch_bytes,
            "max_in_flight": settings.max_in_flight,
            "deadline_seconds": settings.deadline,
        },
        "links": {name: f"{root_of(request.scope)}{path}" for name, path in _LINKS.items()},
        "notices": [notice for notice in notices if notice],
    }
