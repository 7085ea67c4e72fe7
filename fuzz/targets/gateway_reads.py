"""Harness for what the gateway receives from its enclave, or from an impostor: status, evidence, answers, sessions.

The first byte modulo 4 selects the receiver; the rest is a stream of frames.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any, cast

from blindsight.cape import ids
from blindsight.errors import CapeError, EvidenceError, SealingError, TransportError
from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind
from fuzz import driving, mock_pki
from fuzz.target import Target
from gateway.cape.enclave import EnclaveSession, RemoteCapeEnclave, fields_of, text_of
from gateway.enclave import attested
from gateway.metrics import EnclaveMetrics, Metrics

if TYPE_CHECKING:
    import asyncio

_ID = ids.encode(uuid.UUID(int=1 << 100, version=4))
logging.getLogger(attested.__name__).addHandler(logging.NullHandler())


class _Connections:
    """Connections that answer every request with the next frame of a stream."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self.stream = stream

    async def exchange(self, _kind: FrameKind, _payload: bytes = b"") -> tuple[FrameKind, bytes]:
        answer = await frames.read(self.stream)
        if answer is None:
            raise TransportError("connection_lost", "the end")
        return answer


class _Accepted:
    """A stand-in for an enclave whose evidence was accepted."""

    current = None


def run(data: bytes) -> None:
    """Check that no evidence is accepted for a new nonce, and that accepted values have the declared types."""
    mode, stream = (data[0] % 4, driving.reader(data[1:])) if data else (0, driving.reader(b""))
    driving.finished((_status, _evidence, _calls, _session)[mode](_Connections(stream)))


async def _status(connections: _Connections) -> None:
    enclave = _attested(connections)
    await enclave.look()
    assert not enclave.ready


async def _evidence(connections: _Connections) -> None:
    await _attested(connections).attest()
    raise AssertionError("evidence was accepted for a nonce that is new")


def _attested(connections: _Connections) -> attested.AttestedEnclave:
    return attested.AttestedEnclave(
        cast("Any", connections),
        mock_pki.policy(),
        EnclaveMetrics(Metrics(), "tcp://127.0.0.1:7500"),
        attest_interval=60.0,
        status_interval=1.0,
    )


async def _calls(connections: _Connections) -> None:
    enclave = RemoteCapeEnclave(cast("Any", _Accepted()), cast("Any", connections), cast("Any", None), deadline=1.0)
    assert isinstance(await enclave.create_account("a", bytes(32), "proof"), bytes)
    function_id, record = await enclave.add_function(b"record", "token")
    assert ids.is_id(function_id), "it becomes a file's name"
    assert isinstance(record, bytes)
    await enclave.commit(record)


async def _session(connections: _Connections) -> None:
    session = EnclaveSession(connections.stream, cast("Any", None))
    await session.opened()
    assert isinstance(session.needs_function, bool)
    while True:
        kind, payload = await session.receive()
        if kind is FrameKind.CAPE_DEPLOYED:
            assert isinstance(fields_of(payload), dict)
        else:
            assert isinstance(text_of(kind, payload), str)


def seeds() -> dict[str, bytes]:
    """Answers of an enclave."""
    status = {"ready": True, "workers": 2, "busy": 0, "queued": 1, "restarts": 0, "key_configs_sha256": bytes(32)}
    evidence = {"document": b"d", "key_configs": b"k", "model": b"{}"}
    record = frames.encode(FrameKind.CAPE_ANSWER, frames.pack({"record": b"r"}))
    added = frames.encode(FrameKind.CAPE_ANSWER, frames.pack({"id": _ID, "record": b"r"}))
    opened = frames.encode(FrameKind.CAPE_OPENED, frames.pack({"need_function": False}))
    deployed = frames.encode(FrameKind.CAPE_DEPLOYED, frames.pack({"name": "n", "public": True, "checksum": bytes(32)}))
    error = frames.encode(FrameKind.CAPE_ERROR, frames.pack({"code": "overloaded", "error": "text"}))
    text = frames.encode(FrameKind.CAPE_TEXT, b"\x00{") + frames.encode(FrameKind.CAPE_TEXT, b"\x01}")
    return {
        "status": b"\x00" + frames.encode(FrameKind.STATUS, frames.pack(status)),
        "evidence": b"\x01" + frames.encode(FrameKind.EVIDENCE, frames.pack(evidence)),
        "calls": b"\x02" + record + added + frames.encode(FrameKind.CAPE_ANSWER, frames.pack({})),
        "refused": b"\x02" + error,
        "session": b"\x03" + opened + text + deployed + error,
    }


TARGET = Target(
    run, (TransportError, CapeError, EvidenceError, SealingError), seeds, max_bytes=2000, base_bytes=1 << 20,
    words=(b"retired_key_ids", b"workers", b"queued", b"restarts", b"need_function", b"record", b"id", b"../"),
)  # fmt: skip
