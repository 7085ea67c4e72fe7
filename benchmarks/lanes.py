"""The lanes: how a caller inside the load generator sends a photo and reads the answer."""

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
    """One caller. `ask` sends one photo and returns the answer; it raises `OSError` or `BlindsightError`."""

    async def ask(self) -> http1.Answer: ...


Lane = "Callable[[], contextlib.AbstractAsyncContextManager[Asks]]"
"""Creates a caller with a connection of its own."""


@dataclass(frozen=True)
class Plain:
    """Sends the same prepared request repeatedly, on a persistent connection or, with `close`, each on a new one."""

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
    """Performs all steps of a client for each photo: request, padding, encryption, decryption, decoding."""

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
    """Encrypts an input for a Cape function, sends it on an attested WebSocket, and checks the signed result."""

    connection: Any
    photo: bytes

    async def ask(self) -> http1.Answer:
        result = await asyncio.to_thread(self.connection.run, self.photo)
        scores = json.loads(result.output)
        predictions = [{"label": label, "score": score} for label, score in scores.items()]
        return http1.Answer(200, 0.0, json.dumps({"predictions": predictions}).encode())


def callers(spec: dict[str, Any]) -> Callable[[], contextlib.AbstractAsyncContextManager[Asks]]:
    """Return the factory of callers for the lane of `spec`. Evidence is verified here, once.

    `spec`: `lane`, `port` and `photo`; `close` for a new connection for each request; `policy` for the sealed lane, and
    `kem` unless the first key is used; `token`, `function` and `root` for Cape's lane. Raises `OSError`,
    `BlindsightError`.
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
    """The verified enclave's key configuration: the first, or the one with the identifier `kem`.

    Raises `BlindsightError`, or `OSError` for evidence that is too old.
    """
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
