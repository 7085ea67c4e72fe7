"""The sealed lane: an image to the attested enclave and its answer back, unreadable to everything between."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blindsight.errors import BlindsightError, EvidenceError, TransportError
from blindsight.problems import CATALOGUE, Problem
from blindsight.sealing import bhttp, ohttp
from blindsight.wire import frames
from blindsight.wire.protocol import Kind

if TYPE_CHECKING:
    from gateway.enclave.attested import Attested, AttestedEnclave
    from gateway.enclave.connection import EnclaveConnections
    from gateway.metrics import Metrics


@dataclass(frozen=True)
class Answer:
    """The enclave's answer, and the evidence it was sealed under."""

    content: dict[str, Any]
    attested: Attested


class _UnknownKey(Exception):  # noqa: N818
    """The enclave has other keys now."""


class SealedLane:
    """Seals each request to the enclave's attested key and opens the answer."""

    def __init__(
        self, enclave: AttestedEnclave, connections: EnclaveConnections, metrics: Metrics, *, deadline: float
    ) -> None:
        self._enclave = enclave
        self._connections = connections
        self._metrics = metrics
        self._deadline = deadline

    async def classify(self, image: bytes, media_type: str, top_k: int) -> Answer:
        """Classify one image. Raises `Problem`."""
        request = bhttp.Request("POST", f"/classify?top_k={top_k}", [("content-type", media_type)], image).encode()
        attested = self._enclave.current
        try:
            async with asyncio.timeout(self._deadline):
                try:
                    return await self._exchange(request, attested)
                except _UnknownKey:
                    # Its keys changed, as after a restart: verify the new evidence and seal anew, once.
                    return await self._exchange(request, await self._enclave.attest(instead_of=attested))
        except TimeoutError as error:
            raise Problem("deadline_exceeded", f"The enclave did not answer within {self._deadline:g} s.") from error
        except EvidenceError as error:
            raise self._enclave.refusal from error
        except (_UnknownKey, BlindsightError) as error:
            raise Problem("enclave_unavailable", "The enclave was lost while it held this image.") from error

    async def _exchange(self, request: bytes, attested: Attested) -> Answer:
        started = time.perf_counter()
        sealed, opener = ohttp.encapsulate(attested.config, request)
        sent = time.perf_counter()
        kind, payload = await self._connections.exchange(Kind.SEALED_REQUEST, sealed)
        answered = time.perf_counter()
        if kind is Kind.REFUSAL:
            raise _UnknownKey if frames.unpack(payload).get("code") in {"unknown_key", "cannot_open"} else _unexpected()
        if kind is not Kind.SEALED_RESPONSE:
            raise _unexpected()
        response = bhttp.decode_response(opener.open(payload))
        content = _content(response)
        opened = time.perf_counter()
        for stage, seconds in (("seal", sent - started), ("enclave", answered - sent), ("open", opened - answered)):
            self._metrics.stage_seconds.labels(stage).observe(seconds)
        if response.status != 200:
            raise _problem(content)
        self._metrics.images.inc()
        timings = content["timings_ms"]
        for stage in ("decode", "preprocess", "run"):
            self._metrics.stage_seconds.labels(stage).observe(timings[stage] / 1000)
        timings["enclave"] = round((answered - sent) * 1000, 3)
        return Answer(content, attested)


def _content(response: bhttp.Response) -> dict[str, Any]:
    try:
        content = json.loads(response.content)
    except ValueError as error:
        raise _unexpected() from error
    if not isinstance(content, dict):
        raise _unexpected()
    return content


def _problem(content: dict[str, Any]) -> Problem:
    code = content.get("code")
    if code not in CATALOGUE:
        return Problem("internal", "The enclave answered with an unknown problem.")
    members = {"type", "title", "status", "detail", "code", "retryable"}
    return Problem(code, str(content.get("detail", "")), **{k: v for k, v in content.items() if k not in members})


def _unexpected() -> TransportError:
    return TransportError("unexpected_answer", "The enclave did not answer as the protocol says.")
