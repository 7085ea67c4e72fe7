"""The ways to ask for an answer: what a caller of each does for every photo, inside the load generator."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cryptography import x509

from benchmarks import http1
from blindsight import Client
from blindsight.client.cape import Host, Trust
from blindsight.exchange import classify_request
from blindsight.sealing import bhttp, keyconfig, ohttp, padding

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from blindsight.sealing.keyconfig import KeyConfig

FORM, RAW, SEALED, CAPE = "form", "raw", "sealed", "cape"


class Asks(Protocol):
    """One caller."""

    async def ask(self) -> http1.Answer: ...


Lane = "Callable[[], contextlib.AbstractAsyncContextManager[Asks]]"
"""Makes a caller with a connection of its own."""


@dataclass(frozen=True)
class Plain:
    """The same bytes again and again, on a kept connection, or each on one of its own."""

    connection: http1.Connection
    request: bytes
    close: bool

    async def ask(self) -> http1.Answer:
        answer = await self.connection.ask(self.request)
        if self.close:
            self.connection.close()
        return answer


@dataclass(frozen=True)
class Sealed:
    """Everything that a client does for a photo: request, padding, sealing, opening, decoding."""

    connection: http1.Connection
    photo: bytes
    config: KeyConfig

    async def ask(self) -> http1.Answer:
        request = classify_request(self.photo, 5, now=datetime.now(UTC), receipt_evidence=None).encode()
        message, opener = ohttp.encapsulate(self.config, padding.padded(request, padding.request_length(len(request))))
        answer = await self.connection.ask(http1.post("/classify", message, ohttp.REQUEST_MEDIA_TYPE))
        if answer.status != 200:
            return answer
        inner = bhttp.decode_response(opener.open(answer.content))
        return http1.Answer(inner.status, answer.retry_after, inner.content)


@dataclass(frozen=True)
class Cape:
    """An input sealed to a Cape function on an attested WebSocket, whose signed result is checked."""

    connection: Any
    photo: bytes

    async def ask(self) -> http1.Answer:
        result = await asyncio.to_thread(self.connection.run, self.photo)
        scores = json.loads(result.output)
        predictions = [{"label": label, "score": score} for label, score in scores.items()]
        return http1.Answer(200, 0.0, json.dumps({"predictions": predictions}).encode())


def callers(spec: dict[str, Any]) -> Callable[[], contextlib.AbstractAsyncContextManager[Asks]]:
    """What makes a caller of the lane that `spec` names; evidence is verified here, once.

    `spec`: `lane`, `port` and `photo`; `close` for a connection a request; `policy` for the sealed lane, `kem` if
    another than the first; `token`, `function` and `root` for Cape's.
    """
    photo = Path(spec["photo"]).read_bytes()
    port: int = spec["port"]
    if spec["lane"] == CAPE:
        trust = Trust(x509.load_pem_x509_certificate(Path(spec["root"]).read_bytes()))
        return lambda: _cape(Host(f"http://127.0.0.1:{port}"), spec, trust, photo)
    if spec["lane"] == SEALED:
        config = key_config(port, Path(spec["policy"]), spec.get("kem"))
        return lambda: _kept(Sealed(http1.Connection(port), photo, config))
    body, content_type = http1.form(photo) if spec["lane"] == FORM else (photo, "image/jpeg")
    close = bool(spec.get("close"))
    request = http1.post("/classify", body, content_type, close=close)
    return lambda: _kept(Plain(http1.Connection(port), request, close))


def key_config(port: int, policy: Path, kem: int | None = None) -> KeyConfig:
    """The verified enclave's key configuration: the first, or the one of `kem`. Raises `BlindsightError`."""
    with Client(f"http://127.0.0.1:{port}", policy=policy) as client:
        client.verify()
        recipient = client.recipient
    if recipient is None:
        raise OSError("the evidence was too old when it came")
    configs = keyconfig.decode_list(recipient.key_configs)
    return next(config for config in configs if kem in {None, config.kem.identifier})


@contextlib.asynccontextmanager
async def _kept(caller: Plain | Sealed) -> AsyncIterator[Asks]:
    try:
        yield caller
    finally:
        caller.connection.close()


@contextlib.asynccontextmanager
async def _cape(host: Host, spec: dict[str, Any], trust: Trust, photo: bytes) -> AsyncIterator[Asks]:
    opened = host.connect(f"/v1/run/{spec['function']}", spec["token"], trust)
    connection = await asyncio.to_thread(opened.__enter__)
    try:
        yield Cape(connection, photo)
    finally:
        await asyncio.to_thread(opened.__exit__, None, None, None)
