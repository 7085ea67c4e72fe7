"""Harness for messages of a hostile worker to the runtime, up to the response for the caller."""

from __future__ import annotations

import io
import logging
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from blindsight import strict_json
from blindsight.exchange import classify_request
from blindsight.problems import CATALOGUE
from blindsight.receipts import ReceiptKey
from blindsight.sealing import bhttp
from enclave_runtime import inner
from enclave_runtime.confinement import messages
from enclave_runtime.confinement.process import ConfinedProcess, ProcessLost
from enclave_runtime.keys import Opened
from enclave_runtime.workers import pool
from fuzz import driving
from fuzz.target import Target

if TYPE_CHECKING:
    from blindsight.sealing.ohttp import ResponseSealer
    from enclave_runtime.function import Function
    from enclave_runtime.workers.pool import WorkerPool

_FUNCTION = SimpleNamespace(
    manifest={"labels": {"count": 10}, "name": "n", "version": "v", "trained": True, "onnx": {"sha256": "0" * 64}},
    longest_label=40, model_digest=bytes(32), checksum=bytes(32), folder=Path(),
    precision="float32",
)  # fmt: skip
for _module in (inner, pool):
    logging.getLogger(_module.__name__).addHandler(logging.NullHandler())
_UNUSED = cast("ResponseSealer", None)
_PROGRAM = SimpleNamespace(max_header_bytes=messages.MAX_HEADER_BYTES, max_body_bytes=messages.MAX_BODY_BYTES)


class _Pool:
    """A pool whose worker has answered with the message."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    async def classify(self, _image: bytes, _top_k: int) -> dict[str, Any]:
        return pool._result(self._answer)


def run(data: bytes) -> None:
    """Check that invalid messages lose the worker, and that every answer becomes a padded response."""
    process = ConfinedProcess.__new__(ConfinedProcess)
    process._program, process._reader = cast("Any", _PROGRAM), driving.reader(data)
    header, body = driving.finished(process.receive())
    header_bytes, body_bytes = messages.PREFIX.unpack_from(data)
    assert data[messages.PREFIX.size :][header_bytes : header_bytes + body_bytes] == bytes(body)
    # The worker uses the same parser for what the runtime sends.
    assert messages.read(io.BytesIO(messages.encode({"top_k": 1}, bytes(body)))) == ({"top_k": 1}, bytes(body))
    api = inner.InnerApi(cast("Function", _FUNCTION), cast("WorkerPool", _Pool(header)), None, ReceiptKey())
    driving.finished(_answered(api))


async def _answered(api: inner.InnerApi) -> None:
    for evidence in (None, "a" * 64):
        request = classify_request(b"image", 5, now=datetime.now(UTC), receipt_evidence=evidence).encode()
        answer = await api.respond(Opened(request, _UNUSED, replayed=False))
        assert len(answer) & (len(answer) - 1) == 0
        response = bhttp.decode_response(answer)
        content = strict_json.loads(response.content)
        assert isinstance(content, dict)
        assert response.status == 200 or content["code"] in CATALOGUE


def seeds() -> dict[str, bytes]:
    """A result, a problem, a failure, and invalid messages."""
    predictions = [{"label": "x", "class": 1, "probability": 0.5}]
    return {
        "result": messages.encode({"result": {"predictions": predictions, "image": {"width": 1}, "timings_ms": {}}}),
        "problem": messages.encode(
            {"problem": {"code": "too_many_pixels", "detail": "d", "limits": {"limit_pixels": 5, "other": 1}}}
        ),
        "failure": messages.encode({"failure": "ValueError"}),
        "body": messages.encode({"unavailable": "seccomp", "reason": "r"}, b"body"),
        "long": messages.PREFIX.pack(1 << 30, 0) + b"{}",
        "no-object": messages.PREFIX.pack(2, 0) + b"[]",
    }


TARGET = Target(
    run, (ProcessLost,), seeds, max_bytes=2000, base_bytes=1 << 20,
    words=(
        b'"result"', b'"problem"', b'"failure"', b'"code"', b'"detail"', b'"limits"', b'"limit_', b'"predictions"',
        b'"image"', b"1e999", b"\\ud800", b"9007199254740993", b'"internal"', b'"model"', b'"receipt"',
    ),
)  # fmt: skip
