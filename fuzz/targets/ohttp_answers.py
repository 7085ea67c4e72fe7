"""Harness for encrypted answers: arbitrary ones from the relay, and arbitrary content from a hostile enclave.

The first byte selects: even, the rest is a `message/ohttp-res` (RFC 9458); odd, it is the binary HTTP response in one.
"""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight.errors import SealingError, TransportError
from blindsight.exchange import Ask, Question, converse
from blindsight.sealing import bhttp, keyconfig, ohttp
from blindsight.sealing.kem import X25519_HKDF_SHA256
from fuzz.target import Target

if TYPE_CHECKING:
    from blindsight.attestation.recipient import Recipient

_PRIVATE = X25519PrivateKey.from_private_bytes(hashlib.sha256(b"x25519").digest())
_KEY = ohttp.RecipientKey(keyconfig.offered(2, _PRIVATE.public_key().public_bytes_raw(), X25519_HKDF_SHA256), _PRIVATE)
_RECIPIENT = cast("Recipient", SimpleNamespace(classes=10, document_sha256="a" * 64, config=_KEY.config))


def run(data: bytes) -> None:
    """Check that only answers with the right key decrypt, and that accepted content is a JSON object."""
    conversation = converse(Question(b"image"), _RECIPIENT, padded=False)
    asked = next(conversation)
    assert isinstance(asked, Ask)
    genuine = bool(data[:1]) and data[0] % 2 == 1
    answer = data[1:]
    if genuine:
        _, _, sealer = ohttp.decapsulate(_KEY, asked.sealed)
        answer = sealer.seal(answer)
    try:
        conversation.send(answer)
    except StopIteration as ended:
        assert genuine, "an answer was opened that the key did not seal"
        assert isinstance(ended.value.content, dict)
        assert 200 <= ended.value.status <= 599
    else:
        raise AssertionError("a conversation goes on after its answer")


def seeds() -> dict[str, bytes]:
    """Answers and problems with padding, and invalid content."""
    answer = b'{"predictions": [{"label": "x", "probability": 0.5}], "image": {}, "model": {}, "timings_ms": {}}'
    problem = b'{"type": "about:blank", "status": 422, "code": "not_an_image", "title": "x"}'
    return {
        "answer": b"\x01" + bhttp.Response(200, [("content-type", "application/json")], answer).encode() + bytes(64),
        "problem": b"\x01" + bhttp.Response(422, [("content-type", "application/problem+json")], problem).encode(),
        "no-json": b"\x01" + bhttp.Response(200, [], b"[]").encode(),
        "raw": b"\x00" + bytes(16) + bytes(40),
        "empty": b"",
    }


TARGET = Target(run, (SealingError, TransportError), seeds, max_bytes=3000)
