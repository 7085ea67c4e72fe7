"""Gateway and enclave say which version of the wire protocol they speak; another is refused, none means the first."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import TransportError
from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind
from gateway.enclave.attested import AttestedEnclave
from gateway.metrics import EnclaveMetrics, Metrics
from tests.support.wire import admitted, receive

if TYPE_CHECKING:
    from tests.support.stack import Stack

EVIDENCE = {"document": b"", "key_configs": b"", "model": b""}


def ask(stack: Stack, fields: dict[str, Any]) -> tuple[FrameKind, dict[str, Any]]:
    with admitted(stack.enclave_port, stack.state / "gateway_secret") as (connection, stream):
        connection.sendall(frames.encode(FrameKind.EVIDENCE_REQUEST, frames.pack({"nonce": b"n" * 32, **fields})))
        kind, payload = receive(stream)
        return kind, frames.unpack(payload)


@pytest.mark.parametrize("fields", [{}, {"version": 1}, {"version": 1, "later": b"x"}], ids=repr)
def test_an_enclave_answers_gateways_of_its_version_and_before(tiny_stack: Stack, fields: dict[str, Any]) -> None:
    kind, answer = ask(tiny_stack, fields)
    assert kind is FrameKind.EVIDENCE
    assert answer["version"] == 1


@pytest.mark.parametrize("version", [0, 2, True, "1", None], ids=repr)
def test_an_enclave_refuses_another_version(tiny_stack: Stack, version: object) -> None:
    assert ask(tiny_stack, {"version": version}) == (FrameKind.REFUSAL, {"code": "unsupported_protocol"})


class Answering:
    """Stands in for the connections: gives one answer, and keeps the question."""

    def __init__(self, kind: FrameKind, fields: dict[str, Any]) -> None:
        self._answer = kind, frames.pack(fields)
        self.asked: dict[str, Any] = {}

    async def exchange(self, kind: FrameKind, payload: bytes = b"") -> tuple[FrameKind, bytes]:
        assert kind is FrameKind.EVIDENCE_REQUEST
        self.asked = frames.unpack(payload)
        return self._answer


def enclave_of(answering: Answering) -> AttestedEnclave:
    policy: Any = SimpleNamespace(expires=None)
    metrics = EnclaveMetrics(Metrics(), "tcp://127.0.0.1:7500")
    return AttestedEnclave(answering, policy, metrics, attest_interval=1, status_interval=1)


def evidence_of(answering: Answering) -> dict[str, Any]:
    return asyncio.run(enclave_of(answering).evidence(b"n" * 32))


@pytest.mark.parametrize("fields", [{}, {"version": 1}, {"version": 1, "later": b"x"}], ids=repr)
def test_a_gateway_takes_evidence_of_its_version_and_before(fields: dict[str, Any]) -> None:
    answering = Answering(FrameKind.EVIDENCE, EVIDENCE | fields)
    assert evidence_of(answering)["document"] == b""
    assert answering.asked == {"nonce": b"n" * 32, "version": 1}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (FrameKind.EVIDENCE, EVIDENCE | {"version": 2}),
        (FrameKind.EVIDENCE, EVIDENCE | {"version": "1"}),
        (FrameKind.REFUSAL, {"code": "unsupported_protocol"}),
    ],
)
def test_a_gateway_refuses_another_version(kind: FrameKind, fields: dict[str, Any]) -> None:
    with pytest.raises(TransportError) as refusal:
        evidence_of(Answering(kind, fields))
    assert refusal.value.code == "unsupported_protocol"
    assert "release" in refusal.value.next_step


def test_the_operator_is_told_of_another_version() -> None:
    """It is no enclave that cannot be reached, and waiting does not help."""
    enclave = enclave_of(Answering(FrameKind.REFUSAL, {"code": "unsupported_protocol"}))
    with pytest.raises(TransportError):
        asyncio.run(enclave.attest())
    assert "speak different versions of their protocol" in enclave.refusal.detail
    assert "docs/protocol.md" in enclave.refusal.detail


def test_the_evidence_s_envelope_says_its_version(tiny_stack: Stack) -> None:
    assert tiny_stack.client.get("/attestation").json()["format"] == "blindsight-attestation/1"
