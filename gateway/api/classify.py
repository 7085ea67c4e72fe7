"""`POST /classify` and `POST /classify/batch`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from blindsight import receipts
from blindsight.problems import Problem
from gateway import errors
from gateway.allowance import FREE, charged, count
from gateway.api import openapi, parameters, sealed
from gateway.api.body import BATCH_PARAMETERS, PARAMETERS, read_image, read_images
from gateway.api.shapes import BatchClassification, Classification
from gateway.rootpath import root_of
from gateway.services import services_of

if TYPE_CHECKING:
    from blindsight.attestation.recipient import Recipient
    from gateway.enclave.attested import Attested
    from gateway.services import Services

router = APIRouter(tags=["classify"])

_BATCH_PARALLEL = 8
"""Images of one batch that are in the enclave at a time: enough to keep its workers busy, without crowding out other
callers."""


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
            "invalid_top_k", "invalid_parameter", "rate_limited", "quota_exceeded", "overloaded", "draining",
            "worker_lost", "enclave_unavailable", "evidence_refused", "deadline_exceeded", "internal",
        ),
    },
    operation_id="classify",
    summary="Classify one image",
)  # fmt: skip
async def classify(request: Request) -> dict[str, Any] | Response:
    """Send a photo as a form, as a raw body or as base64 JSON; get its most likely classes, best first.

    `curl -F file=@dog.jpeg …/classify`, or `curl --data-binary @dog.jpeg -H 'Content-Type: image/jpeg' …/classify`.

    The enclave accepts JPEG, PNG and WebP, unless the model was built for other formats: `/info` lists them in
    `model.formats`. A 415 names the format that was found. The gateway encrypts the photo to the attested enclave,
    which decodes it. A raw body may have any `image/*` type, `application/octet-stream`, `binary/octet-stream` or none;
    the content determines the format. `Content-Encoding` may be gzip or deflate. As many bytes as the model's own input
    has (ResNet50: 602112, a normalised (1, 3, 224, 224) float32 tensor) are that input, if they do not begin like a
    JPEG, PNG, WebP or AVIF file. Parameters are in the query, the form or the JSON; unknown names are refused.

    The gateway passes on a Cape client's ciphertext for the classifier's account (`text/plain`, or JSON `{"ciphertext":
    "cape:…"}`) without reading it, and also a sealed request (`message/ohttp-req`), as at `/ohttp`, whose parameters
    are inside.
    """
    services = services_of(request)
    services.authenticate(request)
    await count(request, services.limiter)
    with services.admission.place():
        if sealed.is_sealed(request):
            # The enclave's own answer as it comes: only its caller can open it.
            return await sealed.relay(request, services)
        attested, settings = services.fleet.current, services.settings
        query = parameters.in_query(request, PARAMETERS)
        parameters.wanted([query], attested.classes)  # What is wrong with it is told before the body has come.
        upload = await read_image(request, limit=settings.max_image_bytes, seconds=settings.body_timeout)
        wanted = parameters.wanted([query, upload.given], attested.classes)
        async with charged(request, 1):
            answer = await services.fleet.classify(upload.image, wanted.top_k, receipt=wanted.receipt)
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
        "invalid_parameter", "rate_limited", "quota_exceeded", "overloaded", "draining", "enclave_unavailable",
        "evidence_refused", "internal",
    ),
    operation_id="classifyBatch",
    summary="Classify several images",
)  # fmt: skip
async def classify_batch(request: Request) -> dict[str, Any]:
    """Send several photos as form fields `files`, or all as `images`; get a list in the same order.

    Each element is an answer or a problem of its own.

    Every image is encrypted and classified separately: it does not share a model run with other images.
    """
    services = services_of(request)
    services.authenticate(request)
    await count(request, services.limiter)
    with services.admission.place():
        # All images of a batch are for one release, which the answer states once.
        attested, settings = services.fleet.next(), services.settings
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
        usable = sum(not isinstance(image, Problem) for image in images)
        async with charged(request, usable) as bill:
            classified = await _classify_each(services, images, wanted.top_k, attested, root_of(request.scope))
            bill.unused = sum(content.get("problem", {}).get("code") in FREE for content, _ in classified)
    results = [content for content, _ in classified]
    models = [result.pop("model") for result in results if "model" in result]
    return {
        "request_id": request.state.request_id,
        "results": results,
        "model": models[0] if models else None,
        **_vouched(*([recipient for _, recipient in classified if recipient] or [attested])),
    }


async def _classify_each(
    services: Services, images: list[bytes | Problem], top_k: int, attested: Attested, root: str
) -> list[tuple[dict[str, Any], Recipient | None]]:
    """For each image its answer and the enclave that gave it, or a problem and None."""
    places = asyncio.Semaphore(_BATCH_PARALLEL)

    async def one(image: bytes | Problem) -> tuple[dict[str, Any], Recipient | None]:
        try:
            if isinstance(image, Problem):
                raise image
            async with places:
                answer = await services.fleet.classify(image, top_k, like=attested)
                return answer.content, answer.recipient
        except Problem as problem:
            return {"problem": errors.document(problem, root)}, None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(image)) for image in images]
    return [task.result() for task in tasks]


def _vouched(recipient: Recipient, *others: Recipient) -> dict[str, Any]:
    """The gateway's own statements about the enclave behind an answer, or what all enclaves behind it have in common.

    They are of one release.
    """
    summary = recipient.summary()
    measurements = recipient.measurements
    for other in {id(each): each for each in others}.values():
        measurements = {index: value for index, value in measurements.items() if other.measurements.get(index) == value}
    summary["measurements"] = measurements
    return {"enclave": summary} | ({"notice": recipient.notice} if recipient.notice else {})
