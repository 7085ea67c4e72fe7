"""The relay of Oblivious HTTP (RFC 9458): passes sealed requests and answers on without decrypting them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from blindsight.problems import Problem
from blindsight.sealing import keyconfig, ohttp
from gateway.allowance import charged, count
from gateway.api import openapi, parameters
from gateway.api.addressed import EnclaveId, addressed, key_ids_are_taken
from gateway.api.body import media_type_of, read_sealed
from gateway.services import services_of

if TYPE_CHECKING:
    from gateway.services import Services

router = APIRouter(tags=["sealed"])


class _Keys(Response):
    media_type = keyconfig.MEDIA_TYPE


class _Sealed(Response):
    media_type = ohttp.RESPONSE_MEDIA_TYPE


@router.get(
    "/.well-known/ohttp-gateway",
    response_class=_Keys,
    responses={
        200: {"description": "The enclave's key configurations", "content": {keyconfig.MEDIA_TYPE: openapi.BINARY}},
        **openapi.problems("invalid_parameter", "not_found", "enclave_unavailable", "evidence_refused", "internal"),
    },
    operation_id="getKeyConfigurations",
    summary="The enclave's key configurations",
)
async def key_configurations(request: Request, enclave: EnclaveId = None) -> Response:
    """The list whose digest the evidence contains. Encrypt only to keys that you have verified: see `/attestation`."""
    parameters.in_query(request, ("enclave",))
    fleet = services_of(request).fleet
    member = addressed(request, fleet, enclave)
    key_configs = member.enclave.current.key_configs
    if not fleet.reaches(member, key_configs):
        raise key_ids_are_taken()
    return _Keys(key_configs, headers={"Cache-Control": "no-store"})


@router.post(
    "/ohttp",
    response_class=_Sealed,
    openapi_extra=openapi.OHTTP,
    responses={
        200: {"description": "The enclave's answer, or its problem, sealed", "content": openapi.SEALED_ANSWER},
        **openapi.problems(
            "bad_request", "unauthenticated", "cross_origin", "request_timeout", "image_too_large",
            "unsupported_media_type", "unknown_host", "ohttp_key", "invalid_parameter", "rate_limited",
            "quota_exceeded", "overloaded", "draining", "enclave_unavailable", "evidence_refused", "deadline_exceeded",
            "internal",
        ),
    },
    operation_id="sendSealed",
    summary="Pass a sealed request on to the enclave",
)  # fmt: skip
async def ohttp_request(request: Request) -> Response:
    """Send a binary HTTP request, encapsulated with the enclave's attested key; get the encapsulated answer.

    The inner request is `POST /classify`. The gateway cannot decrypt request or answer. `POST /classify` accepts the
    same message.
    """
    services = services_of(request)
    services.authenticate(request)
    await count(request, services.limiter)
    with services.admission.place():
        if not is_sealed(request):
            raise Problem("unsupported_media_type", f"Send {ohttp.REQUEST_MEDIA_TYPE}.")
        return await relay(request, services)


def is_sealed(request: Request) -> bool:
    """Whether the request's content type is that of an encapsulated request."""
    one = len(request.headers.getlist("content-type")) == 1
    return one and media_type_of(request) == ohttp.REQUEST_MEDIA_TYPE


async def relay(request: Request, services: Services) -> Response:
    """Pass the body on to the enclave; the caller holds a place. Raises `Problem`."""
    parameters.no_query(request)
    if services.fleet.known is None:
        raise services.fleet.refusal
    settings = services.settings
    sealed = await read_sealed(request, limit=settings.max_image_bytes, seconds=settings.body_timeout)
    async with charged(request, 1):
        return _Sealed(await services.fleet.relay(sealed))
