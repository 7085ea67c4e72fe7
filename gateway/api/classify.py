"""`POST /classify` and `POST /classify/batch`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from blindsight import receipts
from blindsight.problems import Problem
from gateway import errors
from gateway.api import openapi, parameters, sealed
from gateway.api.body import BATCH_PARAMETERS, PARAMETERS, read_image, read_images
from gateway.api.shapes import BatchClassification, Classification
from gateway.rootpath import root_of
from gateway.services import services_of

if TYPE_CHECKING:
    from blindsight.attestation.recipient import Recipient
    from gateway.services import Services

router = APIRouter(tags=["classify"])

_BATCH_PARALLEL = 8
"""Images of one batch that are with the enclave at once: its workers stay busy, other callers are not crowded out."""


@router.post(
    "/classify",
    response_model=Classification,
    response_model_exclude_unset=True,
    openapi_extra=openapi.CLASSIFY,
    responses={
        200: {"content": openapi.SEALED_ANSWER},
        **openapi.problems(
            "bad_request", "empty_body", "bad_multipart", "bad_json", "unauthenticated", "cross_origin",
            "request_timeout", "image_too_large", "unsupported_media_type", "unknown_host", "not_an_image",
            "truncated_image", "too_many_pixels", "too_many_images", "invalid_tensor", "cannot_decrypt", "ohttp_key",
            "invalid_top_k", "invalid_parameter", "overloaded", "draining", "worker_lost", "enclave_unavailable",
            "evidence_refused", "deadline_exceeded", "internal",
        ),
    },
    operation_id="classify",
    summary="Classify one image",
)  # fmt: skip
async def classify(request: Request) -> dict[str, Any] | Response:
    """Send a photo as a form, as a raw body or as base64 JSON; get its most likely classes, best first.

    `curl -F file=@dog.jpeg …/classify`, or `curl --data-binary @dog.jpeg -H 'Content-Type: image/jpeg' …/classify`.

    Taken are JPEG, PNG and WebP unless the model was built for others: `model.formats` of `/info` lists them. Another
    format is named in the 415. The gateway seals the photo to the attested enclave; only that decodes it. A raw body is
    taken by its content under any `image/*`, `application/octet-stream`, `binary/octet-stream` or no type;
    `Content-Encoding` may be gzip or deflate. As many bytes as the model's own input has (ResNet50: 602112, a
    normalised float32 tensor (1, 3, 224, 224)), if they do not begin like a JPEG, PNG, WebP or AVIF file, are taken as
    that input. Parameters stand in the query, the form or the JSON; unknown names are refused.

    A Cape client's ciphertext for the classifier's account (`text/plain`, or JSON `{"ciphertext": "cape:…"}`) is passed
    on unread, and so is a request that the caller sealed (`message/ohttp-req`), as at `/ohttp`; its parameters are
    inside.
    """
    services = services_of(request)
    services.authenticate(request)
    with services.admission.place():
        if sealed.is_sealed(request):
            # The enclave's own answer as it comes: only its caller can open it.
            return await sealed.relay(request, services)
        attested, settings = services.enclave.current, services.settings
        query = parameters.in_query(request, PARAMETERS)
        parameters.wanted([query], attested.classes)  # What is wrong with it is told before the body has come.
        upload = await read_image(request, limit=settings.max_image_bytes, seconds=settings.body_timeout)
        wanted = parameters.wanted([query, upload.given], attested.classes)
        answer = await services.exchange.classify(upload.image, wanted.top_k, receipt=wanted.receipt)
    content, recipient = answer.content, answer.recipient
    if wanted.receipt:
        content = receipts.archive(content, document=recipient.document, manifest=recipient.manifest)
    return {"request_id": request.state.request_id, **content, **_vouched(recipient)}


@router.post(
    "/classify/batch",
    response_model=BatchClassification,
    response_model_exclude_unset=True,
    openapi_extra=openapi.BATCH,
    responses=openapi.problems(
        "bad_request", "empty_body", "bad_multipart", "unauthenticated", "cross_origin", "request_timeout",
        "image_too_large", "unsupported_media_type", "unknown_host", "too_many_images", "invalid_top_k",
        "invalid_parameter", "overloaded", "draining", "enclave_unavailable", "evidence_refused", "internal",
    ),
    operation_id="classifyBatch",
    summary="Classify several images",
)  # fmt: skip
async def classify_batch(request: Request) -> dict[str, Any]:
    """Send several photos as form fields `files`, or all as `images`; get a list in the same order.

    Each is an answer or its own problem.

    Every image is sealed and classified by itself: no other caller's image, nor another of the batch, shares its run.
    """
    services = services_of(request)
    services.authenticate(request)
    with services.admission.place():
        attested, settings = services.enclave.current, services.settings
        query = parameters.in_query(request, BATCH_PARAMETERS)
        parameters.wanted([query], attested.classes)
        images, given = await read_images(
            request,
            limit=settings.max_image_bytes,
            most=settings.max_batch_images,
            total=settings.max_batch_bytes,
            seconds=settings.body_timeout,
        )
        wanted = parameters.wanted([query, given], attested.classes)
        results = await _classify_each(services, images, wanted.top_k, root_of(request.scope))
    models = [result.pop("model") for result in results if "model" in result]
    return {
        "request_id": request.state.request_id,
        "results": results,
        "model": models[0] if models else None,
        **_vouched(services.enclave.known or attested),
    }


async def _classify_each(
    services: Services, images: list[bytes | Problem], top_k: int, root: str
) -> list[dict[str, Any]]:
    places = asyncio.Semaphore(_BATCH_PARALLEL)

    async def one(image: bytes | Problem) -> dict[str, Any]:
        try:
            if isinstance(image, Problem):
                raise image
            async with places:
                return (await services.exchange.classify(image, top_k)).content
        except Problem as problem:
            return {"problem": errors.document(problem, root)}

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(image)) for image in images]
    return [task.result() for task in tasks]


def _vouched(recipient: Recipient) -> dict[str, Any]:
    """What the gateway itself says about the enclave behind an answer."""
    return {"enclave": recipient.summary()} | ({"notice": recipient.notice} if recipient.notice else {})
