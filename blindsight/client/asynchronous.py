"""The asynchronous client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from blindsight.client import routes
from blindsight.client._core import DEFAULT_EVIDENCE_AGE, DEFAULT_TIMEOUT, Call, Core, Reply
from blindsight.client._http import HEADERS, Body, failures
from blindsight.exchange import Question

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path
    from types import TracebackType

    import httpx2

    from blindsight.attestation.policy import Policy
    from blindsight.attestation.recipient import Recipient
    from blindsight.attestation.report import VerificationReport
    from blindsight.client.answers import Classification
    from blindsight.exchange import Renew

_Result = TypeVar("_Result")


class AsyncClient:
    """Verifies the enclave behind the gateway at `url` and encrypts images to it. Tasks can share a client.

    `policy` is a `Policy` or the path of a policy file. The client relies on evidence for `max_evidence_age` seconds.
    `timeout` is in seconds, for each exchange with the gateway. `proxy` is a proxy's URL, or "env" for the proxy of the
    environment; the client connects to hosts of this machine directly. `blindsight.client` lists the exceptions.
    """

    def __init__(
        self,
        url: str,
        *,
        policy: Policy | Path,
        api_token: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        max_evidence_age: float = DEFAULT_EVIDENCE_AGE,
        proxy: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._core = Core(policy=policy, api_token=api_token, max_evidence_age=max_evidence_age)
        self._timeout = timeout
        self._renewing = asyncio.Lock()
        with failures():
            self._http = routes.asynchronous(
                url,
                timeout=timeout,
                proxy=proxy,
                readable="the API token" if api_token else "",
                headers=HEADERS,
                transport=transport,
            )

    @property
    def recipient(self) -> Recipient | None:
        """The verified enclave that images are encrypted to; None before verification, and when its evidence is too
        old.
        """
        return self._core.recipient

    async def verify(self, *, nonce: bytes | None = None) -> VerificationReport:
        """Verify the enclave now. Discards the previous result, whatever the outcome.

        `nonce`, 16 to 512 bytes, is for callers who need a document with a particular nonce. No party may have been
        able to know it before, such as a digest of new data; by default it is random.
        """
        async with self._renewing:
            return (await self._run(self._core.verify(nonce))).report

    async def classify(
        self,
        image: bytes,
        *,
        top_k: int | None = None,
        with_receipt: bool = False,
    ) -> Classification:
        """Classify one JPEG, PNG or WebP file, or one float32 tensor; the enclave detects which from the content.

        The enclave does not accept HEIC: convert it with `blindsight.client.photos.as_jpeg`.

        `top_k` is the number of classes; None requests five, or all if the model has fewer.

        With `with_receipt` the client verifies the receipt, and the answer's `archive` is the text to store.
        """
        return await self._run(self._core.classify(Question(image, top_k, with_receipt)))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Generator[Call | Renew, Any, _Result]) -> _Result:
        answer: Reply | Recipient | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                result: _Result = end.value
                return result
            answer = await (self._send(step) if isinstance(step, Call) else self._renew(step))

    async def _renew(self, renew: Renew) -> Recipient:
        async with self._renewing:
            renewed = self._core.renewed(renew)
            return await self._run(self._core.verify()) if renewed is None else renewed

    async def _send(self, call: Call) -> Reply:
        with failures():
            async with self._http.stream(
                call.method, call.path, headers=call.headers, content=call.content
            ) as response:
                body = Body(response, self._timeout)
                async for chunk in response.aiter_bytes():
                    body.add(chunk)
        return body.reply()
