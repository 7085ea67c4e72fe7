"""Encrypted exchanges with the attested enclave, and the relay of messages that callers encrypted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from blindsight import exchange
from blindsight.errors import BlindsightError, EvidenceError, PolicyError, SealingError, TransportError
from blindsight.exchange import Ask, KeysChangedError, Question
from blindsight.problems import Problem
from blindsight.sealing import keyconfig
from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind
from gateway.tracing import allowed, current

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from blindsight.attestation.recipient import Recipient
    from blindsight.exchange import Opened
    from gateway.enclave.attested import Attested, AttestedEnclave
    from gateway.enclave.connection import EnclaveConnections
    from gateway.metrics import Metrics
    from gateway.tracing.current import Span

_REPORTED: Final = ("decode", "preprocess", "run")
"""Stages whose durations the enclave reports."""


@dataclass(frozen=True)
class Answer:
    """The enclave's answer, and the evidence for the key that it used."""

    content: dict[str, Any]
    recipient: Recipient


@dataclass(frozen=True)
class Exchanged:
    """The span of an exchange with the enclave, its duration in seconds, and its end (`time.perf_counter()`)."""

    span: Span
    seconds: float
    ended: float

    def report(self, stages: dict[str, float]) -> None:
        """Add the stages within, in seconds."""
        current.reported(self.span, stages, within=self.seconds, ago=time.perf_counter() - self.ended)


class EnclaveExchange:
    """Encapsulates requests with the enclave's attested key and decapsulates the answers; relays sealed messages of
    callers.
    """

    def __init__(
        self,
        enclave: AttestedEnclave,
        connections: EnclaveConnections,
        metrics: Metrics,
        *,
        deadline: float,
        member_id: str = "",
    ) -> None:
        """`deadline`: the seconds that each request has, as refusals state them; `member_id` names the enclave in
        traces.
        """
        self._span = {allowed.ENCLAVE: member_id}
        self._enclave = enclave
        self._connections = connections
        self._metrics = metrics
        self._deadline = deadline

    async def classify(self, image: bytes, top_k: int, *, receipt: bool = False, until: float) -> Answer:
        """Classify one image, with a receipt if requested, until `until` (the loop's time). Raises `Problem`."""
        async with self._in_time(until):
            opened, milliseconds, asked = await self._converse(Question(image, top_k, receipt), self._enclave.current)
        if opened.status != 200:
            raise _problem(opened.content)
        self._metrics.images.inc()
        timings = opened.content["timings_ms"]
        waited = milliseconds
        for stage in _REPORTED:
            self._metrics.stages[stage].observe(timings[stage] / 1000)
            waited -= timings[stage]
        if asked is not None:
            asked.report({stage: timings[stage] / 1000 for stage in _REPORTED})
        self._metrics.stages["wait"].observe(max(waited, 0.0) / 1000)
        timings["enclave"] = milliseconds
        return Answer(opened.content, opened.recipient)

    async def relay(self, sealed: bytes, *, until: float) -> bytes:
        """Relay a caller's `message/ohttp-req`, and its `message/ohttp-res` back. The gateway cannot decrypt either.

        If the enclave cannot decrypt a message, its caller has to encrypt the request again. Ends at `until` (the
        loop's time). Raises `Problem`.
        """
        started = time.perf_counter()
        async with self._in_time(until):
            try:
                with current.span("enclave", self._span, kind="client"):
                    answer = await self._ask(sealed)
            except KeysChangedError as error:
                raise Problem("ohttp_key", "Fetch and verify the key configurations, and seal anew.") from error
            except SealingError as error:
                raise Problem("bad_request", "The body is not an encapsulated request.") from error
        self._metrics.stages["enclave"].observe(time.perf_counter() - started)
        self._metrics.relayed.inc()
        return answer

    @contextlib.asynccontextmanager
    async def _in_time(self, until: float) -> AsyncIterator[None]:
        """Apply the deadline, and convert errors of the enclave to `Problem`."""
        try:
            async with asyncio.timeout_at(until):
                yield
        except Problem:
            raise
        except TimeoutError as error:
            raise Problem("deadline_exceeded", f"The enclave did not answer within {self._deadline:g} s.") from error
        except (EvidenceError, PolicyError) as error:
            raise self._enclave.refusal from error
        except BlindsightError as error:
            raise Problem("enclave_unavailable", "The enclave was lost while it held this image.") from error

    async def _converse(self, question: Question, attested: Attested) -> tuple[Opened, float, Exchanged | None]:
        """The enclave's answer, the duration of the exchange in milliseconds, and its span if there is one."""
        asked = None
        steps = exchange.converse(question, attested, padded=False)
        started = time.perf_counter()
        step = next(steps)
        sent = answered = time.perf_counter()
        while True:
            try:
                if isinstance(step, Ask):
                    sent = time.perf_counter()
                    current.past("seal", sent - started)
                    with current.span("enclave", self._span, kind="client") as asked:
                        sealed = await self._ask(step.sealed)
                    answered = time.perf_counter()
                    step = steps.send(sealed)
                else:
                    # Its keys changed, as after a restart: the new evidence is verified first.
                    attested = await self._enclave.attest(instead_of=attested)
                    started = time.perf_counter()
                    step = steps.send(attested)
            except KeysChangedError as error:
                step = steps.throw(error)
            except StopIteration as end:
                opened: Opened = end.value
                break
        ended = time.perf_counter()
        for stage, seconds in (("seal", sent - started), ("enclave", answered - sent), ("open", ended - answered)):
            self._metrics.stages[stage].observe(seconds)
        current.past("open", ended - answered)
        exchanged = None if asked is None else Exchanged(asked, answered - sent, answered)
        return opened, round((answered - sent) * 1000, 3), exchanged

    async def _ask(self, sealed: bytes) -> bytes:
        """The encapsulated answer. Raises `KeysChangedError`, `SealingError` (`malformed_message`) or
        `TransportError`.
        """
        kind, payload = await self._connections.exchange(FrameKind.SEALED_REQUEST, sealed)
        if kind is FrameKind.SEALED_RESPONSE:
            return payload
        code = frames.unpack(payload).get("code") if kind is FrameKind.REFUSAL else None
        if isinstance(code, str) and code in {"unknown_key", "cannot_open"}:
            raise KeysChangedError
        if code == "malformed_message":
            raise keyconfig.malformed("The enclave found no encapsulated request.")
        raise TransportError("unexpected_answer", "The enclave did not answer as the protocol says.")


def _problem(content: dict[str, Any]) -> Problem:
    try:
        problem = Problem.parse(content)
    except KeyError:
        return Problem("internal", "The enclave answered with an unknown problem.")
    if problem.kind.code == "replayed":
        # Sent twice because the connection was lost under it; whether it was answered is not known.
        return Problem("enclave_unavailable", "The enclave was lost while it held this image.")
    return problem
