"""The sealed lane: an image to the attested enclave and its answer back, unreadable to everything between."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from blindsight import strict_json
from blindsight.errors import BlindsightError, EvidenceError, PolicyError, SealingError, TransportError
from blindsight.problems import Problem
from blindsight.sealing import bhttp, keyconfig, ohttp
from blindsight.sealing.inner import classify_request
from blindsight.wire import frames
from blindsight.wire.protocol import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
    """Seals requests to the enclave's attested key and opens the answers; passes on those that callers sealed."""

    def __init__(
        self, enclave: AttestedEnclave, connections: EnclaveConnections, metrics: Metrics, *, deadline: float
    ) -> None:
        self._enclave = enclave
        self._connections = connections
        self._metrics = metrics
        self._deadline = deadline

    async def classify(self, image: bytes, media_type: str, top_k: int, *, receipt: bool = False) -> Answer:
        """Classify one image, with a receipt if wanted. Raises `Problem`."""
        attested = self._enclave.current
        async with self._in_time():
            try:
                return await self._exchange(image, media_type, top_k, attested, receipt=receipt)
            except _UnknownKey:
                # Its keys changed, as after a restart: verify the new evidence and seal anew, once.
                attested = await self._enclave.attest(instead_of=attested)
                return await self._exchange(image, media_type, top_k, attested, receipt=receipt)

    async def relay(self, sealed: bytes) -> bytes:
        """Pass a caller's own `message/ohttp-req` on, and its `message/ohttp-res` back, neither of which opens here.

        A message that the enclave cannot open is its caller's to seal anew. Raises `Problem`.
        """
        started = time.perf_counter()
        async with self._in_time():
            try:
                answer = await self._ask(sealed)
            except _UnknownKey as error:
                raise Problem("ohttp_key", "Fetch and verify the key configurations, and seal anew.") from error
            except SealingError as error:
                raise Problem("bad_request", "The body is not an encapsulated request.") from error
        self._metrics.stage_seconds.labels("enclave").observe(time.perf_counter() - started)
        self._metrics.relayed.inc()
        return answer

    @contextlib.asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """The deadline; what goes wrong with the enclave is a `Problem`."""
        try:
            async with asyncio.timeout(self._deadline):
                yield
        except TimeoutError as error:
            raise Problem("deadline_exceeded", f"The enclave did not answer within {self._deadline:g} s.") from error
        except (EvidenceError, PolicyError) as error:
            raise self._enclave.refusal from error
        except (_UnknownKey, BlindsightError) as error:
            raise Problem("enclave_unavailable", "The enclave was lost while it held this image.") from error

    async def _exchange(
        self, image: bytes, media_type: str, top_k: int, attested: Attested, *, receipt: bool
    ) -> Answer:
        started = time.perf_counter()
        evidence = attested.document_sha256 if receipt else None
        request = classify_request(image, media_type, top_k, now=datetime.now(UTC), receipt_evidence=evidence)
        sealed, opener = ohttp.encapsulate(attested.config, request.encode())
        sent = time.perf_counter()
        payload = await self._ask(sealed)
        answered = time.perf_counter()
        response = bhttp.decode_response(opener.open(payload))
        content = _content(response)
        opened = time.perf_counter()
        for stage, seconds in (("seal", sent - started), ("enclave", answered - sent), ("open", opened - answered)):
            self._metrics.stage_seconds.labels(stage).observe(seconds)
        if response.status != 200:
            problem = _problem(content)
            if problem.kind.code == "replayed":
                # Sent twice because the connection was lost under it; whether it was answered is not known.
                raise TransportError("connection_lost", "The enclave hung up.")
            raise problem
        self._metrics.images.inc()
        timings = content["timings_ms"]
        for stage in ("decode", "preprocess", "run"):
            self._metrics.stage_seconds.labels(stage).observe(timings[stage] / 1000)
        timings["enclave"] = round((answered - sent) * 1000, 3)
        return Answer(content, attested)

    async def _ask(self, sealed: bytes) -> bytes:
        """The sealed answer. Raises `_UnknownKey`, `SealingError` (`malformed_message`) or `TransportError`."""
        kind, payload = await self._connections.exchange(Kind.SEALED_REQUEST, sealed)
        if kind is Kind.SEALED_RESPONSE:
            return payload
        code = frames.unpack(payload).get("code") if kind is Kind.REFUSAL else None
        if code in {"unknown_key", "cannot_open"}:
            raise _UnknownKey
        if code == "malformed_message":
            raise keyconfig.malformed("The enclave found no encapsulated request.")
        raise _unexpected()


def _content(response: bhttp.Response) -> dict[str, Any]:
    try:
        content = strict_json.loads(response.content)
    except ValueError as error:
        raise _unexpected() from error
    if not isinstance(content, dict):
        raise _unexpected()
    return content


def _problem(content: dict[str, Any]) -> Problem:
    try:
        return Problem.parse(content)
    except KeyError:
        return Problem("internal", "The enclave answered with an unknown problem.")


def _unexpected() -> TransportError:
    return TransportError("unexpected_answer", "The enclave did not answer as the protocol says.")
