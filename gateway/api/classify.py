"""`POST /classify` and `POST /classify/batch`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from blindsight import receipts
from blindsight.exchange import default_top_k
from blindsight.problems import Problem
from gateway.api import openapi, sealed
from gateway.api.body import read_image, read_images
from gateway.api.shapes import Answer, BatchAnswer
from gateway.services import services_of

if TYPE_CHECKING:
    from blindsight.attestation.recipient import Recipient
    from gateway.services import Services

router = APIRouter(tags=["classify"])

_BATCH_PARALLEL = 8
"""Images of one batch that are with the enclave at once: its workers stay busy, other callers are not crowded out."""


@router.post(
    "/classify",
    response_model=Answer,
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
    summary="Classify one image",
)  # fmt: skip
async def classify(request: Request) -> dict[str, Any] | Response:
    """Send a photo as a form, as a raw body or as base64 JSON; get its most likely classes, best first.

    `curl -F file=@dog.jpeg …/classify`, or `curl --data-binary @dog.jpeg -H 'Content-Type: image/jpeg' …/classify`.

    Taken are JPEG, PNG and WebP unless the model was built for others: `model.formats` of `/info` lists them. Another
    format is named in the 415. The gateway seals the photo to the attested enclave; only that decodes it.

    602112 bytes that do not begin like an image are taken as an already normalised (1, 3, 224, 224) float32 tensor.
    A Cape client's ciphertext for the classifier's account (`text/plain`, or JSON `{"ciphertext": "cape:…"}`) is passed
    on unread, and so is a request that the caller sealed (`message/ohttp-req`), as at `/ohttp`; `top_k` is then inside.
    """
    services = services_of(request)
    services.authenticate(request)
    with services.admission.place():
        if sealed.is_sealed(request):
            # The enclave's own answer as it comes: only its caller can open it.
            return await sealed.relay(request, services)
        attested = services.enclave.current
        top_k = _top_k(request, attested)
        settings = services.settings
        receipt = _receipt(request)
        image = await read_image(request, limit=settings.max_image_bytes, seconds=settings.body_timeout)
        answer = await services.exchange.classify(image, top_k, receipt=receipt)
    content, recipient = answer.content, answer.recipient
    if receipt:
        content = receipts.archive(content, document=recipient.document, manifest=recipient.manifest)
    return {"request_id": request.state.request_id, **content, **_vouched(recipient)}


@router.post(
    "/classify/batch",
    response_model=BatchAnswer,
    response_model_exclude_unset=True,
    openapi_extra=openapi.BATCH,
    responses=openapi.problems(
        "empty_body", "bad_multipart", "unauthenticated", "cross_origin", "request_timeout", "image_too_large",
        "unsupported_media_type", "unknown_host", "too_many_images", "invalid_top_k", "overloaded", "draining",
        "enclave_unavailable", "evidence_refused", "internal",
    ),
    summary="Classify several images",
)  # fmt: skip
async def classify_batch(request: Request) -> dict[str, Any]:
    """Send several photos as form fields `files`; get a list in the same order, each an answer or its own problem.

    Every image is sealed and classified by itself: no other caller's image, nor another of the batch, shares its run.
    """
    services = services_of(request)
    services.authenticate(request)
    with services.admission.place():
        attested = services.enclave.current
        top_k = _top_k(request, attested)
        settings = services.settings
        images = await read_images(
            request,
            limit=settings.max_image_bytes,
            most=settings.max_batch_images,
            total=settings.max_batch_bytes,
            seconds=settings.body_timeout,
        )
        results = await _classify_each(services, images, top_k)
    models = [result.pop("model") for result in results if "model" in result]
    return {
        "request_id": request.state.request_id,
        "results": results,
        "model": models[0] if models else None,
        **_vouched(services.enclave.known or attested),
    }


async def _classify_each(services: Services, images: list[bytes | Problem], top_k: int) -> list[dict[str, Any]]:
    places = asyncio.Semaphore(_BATCH_PARALLEL)

    async def one(image: bytes | Problem) -> dict[str, Any]:
        try:
            if isinstance(image, Problem):
                raise image
            async with places:
                return (await services.exchange.classify(image, top_k)).content
        except Problem as problem:
            return {"problem": problem.body()}

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(image)) for image in images]
    return [task.result() for task in tasks]


def _top_k(request: Request, attested: Recipient) -> int:
    """The query parameter `top_k`, 1 to the model's number of classes."""
    values = request.query_params.getlist("top_k")
    if not values:
        return default_top_k(attested.classes)
    text = values[0]
    if len(values) > 1 or not (
        text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= attested.classes
    ):
        raise Problem(
            "invalid_top_k",
            f"top_k must be one whole number from 1 to {attested.classes}.",
            minimum=1,
            maximum=attested.classes,
        )
    return int(text)


def _receipt(request: Request) -> bool:
    """The query parameter `receipt`."""
    values = request.query_params.getlist("receipt")
    if values not in ([], ["true"], ["false"]):
        raise Problem("invalid_parameter", "receipt must be true or false, once.")
    return values == ["true"]


def _vouched(recipient: Recipient) -> dict[str, Any]:
    """What the gateway itself says about the enclave behind an answer."""
    return {"enclave": recipient.summary()} | ({"notice": recipient.notice} if recipient.notice else {})
