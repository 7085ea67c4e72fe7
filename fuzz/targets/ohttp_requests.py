"""Harness for encapsulated requests: arbitrary ones, and arbitrary content that was encrypted correctly.

The first byte selects: even, the rest is a `message/ohttp-req` (RFC 9458); odd, it is the binary HTTP request in one.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight.errors import SealingError
from blindsight.exchange import classify_request
from blindsight.receipts import ReceiptKey
from blindsight.sealing import bhttp, keyconfig, ohttp, padding
from blindsight.sealing.kem import MLKEM768_X25519, X25519_HKDF_SHA256, HybridPrivateKey
from enclave_runtime import inner
from enclave_runtime.keys import Opened
from fuzz import driving, mock_pki
from fuzz.target import Target

if TYPE_CHECKING:
    from enclave_runtime.function import Function
    from enclave_runtime.workers.pool import WorkerPool

_HYBRID = HybridPrivateKey(hashlib.sha256(b"hybrid").digest())
_X25519 = X25519PrivateKey.from_private_bytes(hashlib.sha256(b"x25519").digest())
_KEYS = {
    1: ohttp.RecipientKey(keyconfig.offered(1, _HYBRID.public_bytes(), MLKEM768_X25519), _HYBRID),
    2: ohttp.RecipientKey(keyconfig.offered(2, _X25519.public_key().public_bytes_raw(), X25519_HKDF_SHA256), _X25519),
}
_CLASSES, _LONGEST_LABEL = 1000, 40


class _Pool:
    """A pool with the same answer for every image."""

    async def classify(self, _image: bytes | memoryview, top_k: int) -> dict[str, Any]:
        return {"predictions": [{"label": "x", "class": 0, "probability": 1.0}] * min(max(top_k, 0), 3), "image": {}}


_FUNCTION = SimpleNamespace(
    manifest={"labels": {"count": _CLASSES}, "name": "n", "version": "v", "trained": True, "onnx": {"sha256": "0"}},
    longest_label=_LONGEST_LABEL, model_digest=bytes(32), checksum=bytes(32), folder=Path(),
    precision="float32",
)  # fmt: skip
_API = inner.InnerApi(cast("Function", _FUNCTION), cast("WorkerPool", _Pool()), None, ReceiptKey())


def run(data: bytes) -> None:
    """Check that the enclave raises `SealingError`, or answers with the length that the request determines."""
    if data[:1] and data[0] % 2:
        _answered(data[1:])
        return
    message = data[1:]
    key = _KEYS.get(ohttp.key_id_of(message)) or _KEYS[2]
    enc, request, sealer = ohttp.decapsulate(key, message)
    assert len(enc) == key.config.kem.enc_bytes
    room = bytearray(len(message))
    _, again, _ = ohttp.decapsulate_into(key, memoryview(message), lambda count: memoryview(room)[:count])
    assert bytes(again) == request
    assert sealer.seal(b"answer")


def _answered(request: bytes) -> None:
    sealed, opener = ohttp.encapsulate(_KEYS[2].config, request)
    _, opened, sealer = ohttp.decapsulate(_KEYS[2], sealed)
    assert opened == request
    # The seeds contain old dates.
    with mock.patch.object(inner, "MAX_CLOCK_SECONDS", float("inf")):
        answer = driving.finished(_API.respond(Opened(opened, sealer, replayed=False)))
    response = bhttp.decode_response(opener.open(sealer.seal(answer)))
    content = json.loads(response.content)
    assert content.get("code") != "internal", "the enclave's own fault"
    if response.status != 200:
        assert content["code"] in {"bad_request", "date", "not_found", "method_not_allowed", "invalid_top_k"}
    assert padding.SMALLEST_ANSWER <= len(answer) <= padding.answer_length(_CLASSES, _LONGEST_LABEL)
    assert len(answer) & (len(answer) - 1) == 0


def seeds() -> dict[str, bytes]:
    """A request encrypted with each cipher suite, and inner requests."""
    request = classify_request(b"image", 5, now=mock_pki.NOW, receipt_evidence="a" * 64).encode()
    control = b"\x04POST\x05https\x00\x09/classify"
    return {
        "inside": b"\x01" + request,
        "inside-indeterminate": b"\x01\x02" + control + b"\x04date\x01x\x00\x03abc\x02de\x00\x00",
        "inside-get": b"\x01" + bhttp.Request("GET", "/", [], b"").encode(),
        "header-hybrid": b"\x00" + bytes.fromhex("01647a00010002") + bytes(1120 + 16),
        "header-x25519": b"\x00" + bytes.fromhex("02002000010001") + bytes(range(32)) + bytes(20),
        **{f"sealed-{key_id}": b"\x00" + _sealed(key_id, request) for key_id in _KEYS},
    }


def _sealed(key_id: int, request: bytes) -> bytes:
    """An encapsulated request. It is reproducible for X25519; with the hybrid, only its form is right."""
    if key_id == 1:
        return bytes.fromhex("01647a00010002") + hashlib.shake_256(b"enc").digest(1120) + bytes(60)
    ephemeral = X25519PrivateKey.from_private_bytes(hashlib.sha256(b"ephemeral").digest())
    return ohttp.encapsulate(_KEYS[key_id].config, request, ephemeral=ephemeral)[0]


TARGET = Target(
    run, (SealingError,), seeds, max_bytes=3000, base_bytes=1 << 20,
    words=(b"top_k=", b"/classify?", b"date", b"receipt-evidence", b"Sun, 01 Nov 2026 12:00:00 GMT", b"%30", b"&"),
)  # fmt: skip
