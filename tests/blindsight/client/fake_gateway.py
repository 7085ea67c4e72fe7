"""A gateway with its enclave in one object, whose every part a test may replace, and both kinds of client before it."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
import rfc8785

from blindsight import AsyncClient, Client
from blindsight.attestation import Claims, Policy, pcr16_extension
from blindsight.problems import CATALOGUE, MEDIA_TYPE, Problem
from blindsight.receipts import ReceiptKey
from blindsight.sealing import bhttp, keyconfig, ohttp
from enclave_runtime.evidence.simulated import SimulatedProducer
from enclave_runtime.keys import LaneKeys
from tests.support.policies import simulated_policy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blindsight.attestation.report import VerificationReport
    from blindsight.client import Classification

PCRS = {index: bytes([index + 1]) * 48 for index in range(3)}
CHECKSUM = b"\x07" * 32
MANIFEST = {"name": "tiny", "version": "1", "trained": True, "labels": {"count": 1000}}
ANSWER = {
    "predictions": [
        {"rank": 1, "class_id": 207, "label": "golden retriever", "score": 0.9},
        {"rank": 2, "class_id": 208, "label": "Labrador retriever", "score": 0.1},
    ],
    "image": {"width": 4, "height": 3},
    "timings_ms": {"decode": 1.0, "preprocess": 2.0, "run": 3.0},
    "model": {"name": "tiny", "version": "1", "digest": "ab", "trained": True},
}


class FakeGateway:
    """Good unless told otherwise: `tricks` maps a path to what answers there in its place."""

    def __init__(self, state: Path, *, pcrs: dict[int, bytes] = PCRS, manifest: Any = None) -> None:
        self.offset = 0.0
        """Seconds by which the enclave's clock is ahead."""
        self.manifest = MANIFEST if manifest is None else manifest
        self.attested_manifest = rfc8785.dumps(self.manifest)
        self.receipt_key = ReceiptKey()
        self.requests: list[httpx2.Request] = []
        self.inner: list[bhttp.Request] = []
        self.tricks: dict[str, Callable[[httpx2.Request], httpx2.Response]] = {}
        self.respond: Callable[[bhttp.Request], bhttp.Response] = lambda _: inner(200, ANSWER)
        self.producer = SimulatedProducer(state, pcrs, clock=self._clock)
        self.producer.extend_pcr(16, pcr16_extension(CHECKSUM, keyconfig.digest(self.attested_manifest)))
        self.producer.lock_pcr(16)
        self.rotate()

    def _clock(self) -> datetime:
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + self.offset, UTC)

    def rotate(self) -> None:
        self.keys = LaneKeys()

    @property
    def policy(self) -> Policy:
        return simulated_policy(self.producer, PCRS, CHECKSUM)

    @property
    def paths(self) -> list[str]:
        return [request.url.path for request in self.requests]

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        trick = self.tricks.get(request.url.path)
        if trick:
            return trick(request)
        return self.attestation(request) if request.url.path == "/attestation" else self.classify(request)

    def attestation(self, request: httpx2.Request, **changes: Any) -> httpx2.Response:
        return self.evidence(bytes.fromhex(request.url.params["nonce"]), **changes)

    def evidence(self, nonce: bytes | None, **changes: Any) -> httpx2.Response:
        configs = self.keys.encoded_configs
        claims = Claims(
            CHECKSUM,
            keyconfig.digest(configs),
            keyconfig.digest(self.attested_manifest),
            self.receipt_key.thumbprint,
        )
        document = self.producer.attest(nonce=nonce, user_data=claims.to_json(), public_key=self.keys.public_key)
        fields = {"document": encoded(document), "key_configs": encoded(configs), "model": self.manifest}
        return httpx2.Response(200, content=json.dumps(fields | changes), headers={"content-type": "application/json"})

    def classify(self, request: httpx2.Request) -> httpx2.Response:
        assert request.headers["content-type"] == ohttp.REQUEST_MEDIA_TYPE
        try:
            opened = self.keys.open(request.content)
        except Exception:  # noqa: BLE001 -- like the gateway, it tells nothing apart
            return problem("ohttp_key")
        message = bhttp.decode_request(opened.request)
        self.inner.append(message)
        return sealed(opened.sealer.seal(self.respond(message).encode()))


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def inner(status: int, content: object) -> bhttp.Response:
    return bhttp.Response(status, [("content-type", "application/json")], json.dumps(content).encode())


def sealed(content: bytes) -> httpx2.Response:
    return httpx2.Response(200, content=content, headers={"content-type": ohttp.RESPONSE_MEDIA_TYPE})


def problem(code: str, /, **members: Any) -> httpx2.Response:
    """The problem as a gateway answers it."""
    body = Problem(code, "So it is.").body() | {"instance": "urn:uuid:0190a1b2-0000-7000-8000-000000000000"} | members
    return httpx2.Response(CATALOGUE[code].status, content=json.dumps(body), headers={"content-type": MEDIA_TYPE})


@dataclass
class Caller:
    """Either kind of client, used as if it were the blocking one."""

    gateway: FakeGateway
    kind: str
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    _opened: list[Any] = field(default_factory=list)

    def client(self, url: str = "https://gateway.example", **options: Any) -> Client | Looped:
        transport = httpx2.MockTransport(self.gateway.handle)
        options = {"policy": self.gateway.policy, "transport": transport, **options}
        if self.kind == "blocking":
            blocking = Client(url, **options)
            self._opened.append(blocking)
            return blocking
        looped = Looped(AsyncClient(url, **options), self._runner)
        self._opened.append(looped)
        return looped

    def close(self) -> None:
        for client in self._opened:
            client.close()
        self._runner.close()


@dataclass
class Looped:
    """An asynchronous client on an event loop of its own."""

    client: AsyncClient
    runner: asyncio.Runner

    @property
    def recipient(self) -> Any:
        return self.client.recipient

    def verify(self) -> VerificationReport:
        return self.runner.run(self.client.verify())

    def classify(self, image: bytes, **options: Any) -> Classification:
        return self.runner.run(self.client.classify(image, **options))

    def close(self) -> None:
        self.runner.run(self.client.close())
