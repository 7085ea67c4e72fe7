"""What a program in the place of the enclave may say: every answer of another form is the absence of an enclave."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import cbor2
import pytest

from blindsight.errors import BlindsightError, CapeError, TransportError
from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind
from gateway.cape.enclave import EnclaveSession, RemoteCapeEnclave, text_of
from gateway.enclave.attested import AttestedEnclave
from gateway.enclave.exchange import EnclaveExchange
from gateway.metrics import EnclaveMetrics, Metrics

STATUS = {"ready": True, "workers": 2, "busy": 0, "queued": 1, "restarts": 0, "key_configs_sha256": bytes(32)}


class Connections:
    def __init__(self, *answers: tuple[FrameKind, bytes]) -> None:
        self.answers = list(answers)

    async def exchange(self, _: FrameKind, __: bytes = b"") -> tuple[FrameKind, bytes]:
        return self.answers.pop(0)


async def look(status: bytes) -> AttestedEnclave:
    connections = Connections((FrameKind.STATUS, status))
    policy = cast("Any", SimpleNamespace(expires=None))
    metrics = EnclaveMetrics(Metrics(), "tcp://127.0.0.1:7500")
    enclave = AttestedEnclave(cast("Any", connections), policy, metrics, attest_interval=60, status_interval=1)
    await enclave.look()
    return enclave


async def test_a_status_is_taken() -> None:
    enclave = await look(frames.pack(STATUS))
    assert enclave._metrics.workers._value.get() == 2


@pytest.mark.parametrize("name", ["workers", "queued", "restarts"])
@pytest.mark.parametrize("value", ["two", None, [], {}, b"", -1, True], ids=repr)
async def test_a_status_of_other_types(name: str, value: object) -> None:
    with pytest.raises(TransportError):
        await look(frames.pack(STATUS | {name: value}))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"", 0), (b"\1\2", 2), (bytes(1000), 1), (bytes(range(256)) * 100, 256), ("12", 0), ([1], 0), (None, 0)],
    ids=lambda value: repr(value)[:20],
)
async def test_replaced_keys_in_a_status(value: object, expected: int) -> None:
    enclave = await look(frames.pack(STATUS | {"retired_key_ids": value}))
    assert len(enclave.retired_key_ids) == expected


def session(*written: bytes) -> EnclaveSession:
    reader = asyncio.StreamReader()
    reader.feed_data(b"".join(written))
    reader.feed_eof()
    return EnclaveSession(reader, cast("Any", None))


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", cbor2.dumps(1), cbor2.dumps({"need_function": 1}), cbor2.dumps({})], ids=repr
)
async def test_a_session_that_is_not_opened(payload: bytes) -> None:
    with pytest.raises(CapeError) as refusal:
        await session(frames.encode(FrameKind.CAPE_OPENED, payload)).opened()
    assert refusal.value.code == "enclave_unavailable"


@pytest.mark.parametrize(
    "frame",
    [
        frames.encode(FrameKind.CAPE_TEXT, b"\x01\xff"),
        frames.encode(FrameKind.CAPE_TEXT, b""),
        frames.encode(FrameKind.STATUS, b"text"),
        frames.encode(FrameKind.CAPE_OPENED, b"text"),
        frames.encode(FrameKind.CAPE_ERROR, b"\xff"),
    ],
    ids=repr,
)
async def test_a_session_that_says_something_else(frame: bytes) -> None:
    with pytest.raises(CapeError) as refusal:
        text_of(*await session(frame).receive())
    assert refusal.value.code == "enclave_unavailable"


@pytest.mark.parametrize("function_id", ["../../evil", "", "/etc/passwd", "a" * 22, "\0", "2" * 21])
async def test_an_id_that_would_be_another_files_name(function_id: str) -> None:
    """A function's ciphertext is kept in a file that is called by the id that the enclave gives."""
    answer = (FrameKind.CAPE_ANSWER, frames.pack({"id": function_id, "record": b"record"}))
    accepted = cast("Any", SimpleNamespace(current=None))
    enclave = RemoteCapeEnclave(accepted, cast("Any", Connections(answer)), cast("Any", None), deadline=1)
    with pytest.raises(BlindsightError) as refusal:
        await enclave.add_function(b"record", "token")
    assert refusal.value.code == "enclave_unavailable"


@pytest.mark.parametrize("code", [[], {}, ["unknown_key"], None, 1, b"unknown_key"], ids=repr)
async def test_a_refusal_of_another_type(code: object) -> None:
    connections = Connections((FrameKind.REFUSAL, frames.pack({"code": code})))
    lane = EnclaveExchange(cast("Any", None), cast("Any", connections), Metrics(), deadline=1)
    with pytest.raises(TransportError) as refusal:
        await lane._ask(b"sealed")
    assert refusal.value.code == "unexpected_answer"
