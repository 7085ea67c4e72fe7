"""Harness for the frames between gateway and enclave, and the objects in them."""

from __future__ import annotations

from blindsight.errors import CapeError, TransportError
from blindsight.wire import cape, frames
from blindsight.wire.protocol import FrameKind
from fuzz import driving
from fuzz.target import Target

_LIMIT = 1000


def run(data: bytes) -> None:
    """Check that a stream gives frames or a `TransportError`, and that all of it encodes to the same bytes."""
    driving.finished(_read(data))


async def _read(data: bytes) -> None:
    short, long, written = driving.reader(data), driving.reader(data), b""
    while (frame := await frames.read(short)) is not None:
        kind, payload = frame
        head = await frames.read_head(long)
        assert head is not None
        assert (head[0], await frames.read_payload(long, head[1])) == frame
        written += frames.encode(kind, payload)
        try:
            _look(kind, payload)
        except TransportError as error:
            assert error.code in {"bad_frame", "unexpected_answer"}
        if kind is FrameKind.CAPE_INPUT:
            whole = await cape.read_rest(short, payload, kind=kind, limit=_LIMIT)
            assert len(whole) <= _LIMIT + len(payload)
            return
    assert written == data


def _look(kind: FrameKind, payload: bytes) -> None:
    if kind is FrameKind.CAPE_ERROR:
        assert isinstance(cape.error_of(payload), CapeError)
    fields = frames.unpack(payload)
    assert frames.pack(fields) == payload


def seeds() -> dict[str, bytes]:
    """An exchange, objects of each kind, and a message in pieces."""
    evidence = frames.pack({"document": b"d", "key_configs": b"k", "model": b"{}"})
    status = frames.pack(
        {"ready": True, "workers": 2, "busy": 0, "queued": 0, "restarts": 0, "key_configs_sha256": bytes(32)}
    )
    error = cape.error_frame(CapeError("overloaded", "text"))
    many = cape.piece(FrameKind.CAPE_INPUT, b"first", last=False) + cape.piece(
        FrameKind.CAPE_INPUT, b"second", last=True
    )
    return {
        "conversation": frames.encode(FrameKind.GATEWAY_HELLO, bytes(32))
        + frames.encode(FrameKind.EVIDENCE_REQUEST, frames.pack({"nonce": None})),
        "evidence": frames.encode(FrameKind.EVIDENCE, evidence),
        "status": frames.encode(FrameKind.STATUS, status) + frames.encode(FrameKind.SEALED_REQUEST, b"sealed"),
        "error": error,
        "pieces": many,
        "long": (1 << 25).to_bytes(4, "big") + b"\x03",
        "empty": frames.encode(FrameKind.STATUS_REQUEST),
    }


TARGET = Target(run, (TransportError,), seeds, max_bytes=2000)
