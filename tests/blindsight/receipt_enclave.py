"""An enclave that makes receipts, right and wrong, with the evidence that they need."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from blindsight import receipts
from blindsight.attestation import Claims, Policy, pcr16_extension
from blindsight.errors import BlindsightError, EvidenceError, ReceiptError
from blindsight.receipts import Receipt, ReceiptKey
from enclave_runtime.evidence.simulated import SimulatedProducer
from tests.support.policies import simulated_policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOW = datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)
"""When the evidence was made: its certificates have expired years ago, and no check reads today's clock."""

PCRS = {index: bytes([index + 1]) * 48 for index in range(3)}
IMAGE = b"\xff\xd8\xff a photo that the enclave was asked about"
OTHER_DIGEST = "12" * 32
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
MEMBERS = [field.name for field in dataclasses.fields(Receipt)]
MANIFEST: dict[str, Any] = {
    "name": "tiny", "version": "1", "trained": True, "onnx": {"file": "tiny.onnx", "sha256": "ab" * 32, "bytes": 3},
}  # fmt: skip
ANSWER: dict[str, Any] = {
    "predictions": [
        {"rank": 1, "class_id": 207, "label": "golden retriever", "score": 0.9},
        {"rank": 2, "class_id": 208, "label": "café \u2028", "score": 1.5e-7},
    ],
    "image": {"width": 4, "height": 3},
    "timings_ms": {"decode": 1.0},
    "model": {"name": "tiny", "version": "1", "digest": "ab", "trained": True},
}


def spelled(part: Mapping[str, Any]) -> bytes:
    """Canonical JSON, or any where there is none."""
    try:
        return rfc8785.dumps(dict(part))
    except ValueError:
        return json.dumps(part).encode()


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def raw_signature(key: ec.EllipticCurvePrivateKey, signed: bytes, size: int = 32) -> bytes:
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


@dataclass
class Enclave:
    """An enclave's evidence and receipts, whose every part a test may replace."""

    producer: SimulatedProducer
    key: ReceiptKey
    claims: Claims
    document: bytes

    @classmethod
    def start(cls, state: Path, **claims: Any) -> Enclave:
        key = ReceiptKey()
        model = hashlib.sha256(rfc8785.dumps(MANIFEST)).digest()
        fields = {
            "func_checksum": b"\x07" * 32, "key_configs_sha256": b"\x08" * 32, "model_sha256": model,
            "receipt_key_sha256": key.thumbprint,
        }  # fmt: skip
        attested = Claims(**(fields | claims))
        producer = SimulatedProducer(state, PCRS, clock=lambda: NOW)
        producer.extend_pcr(16, pcr16_extension(attested.func_checksum, attested.model_sha256))
        producer.lock_pcr(16)
        return cls(producer, key, attested, producer.attest(nonce=None, user_data=attested.to_json(), public_key=None))

    @property
    def policy(self) -> Policy:
        return simulated_policy(self.producer, PCRS, self.claims.func_checksum, self.claims.model_sha256)

    @property
    def receipt(self) -> Receipt:
        """The right one for `ANSWER` and `IMAGE`."""
        return Receipt(
            iat=int(NOW.timestamp()) + 5,
            input_sha256=hashlib.sha256(IMAGE).hexdigest(),
            output_sha256=receipts.output_digest(ANSWER),
            func_checksum=self.claims.func_checksum.hex(),
            model_sha256=self.claims.model_sha256.hex(),
            weights_sha256=MANIFEST["onnx"]["sha256"],
            evidence_sha256=hashlib.sha256(self.document).hexdigest(),
        )

    @property
    def header(self) -> dict[str, Any]:
        header: dict[str, Any] = json.loads(from_b64url(self.key.sign(self.receipt).split(".")[0]))
        return header

    def sign(self, header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes) -> str:
        """A JWS of whatever it is, by this enclave's key."""
        parts = [part if isinstance(part, bytes) else spelled(part) for part in (header, payload)]
        signed = ".".join(b64url(part) for part in parts)
        return f"{signed}.{b64url(raw_signature(self.key._key, signed.encode()))}"

    def signed(self, payload: Mapping[str, Any] | bytes) -> str:
        return self.sign(self.header, payload)

    def kept(self, receipt: object = None, **changes: Any) -> dict[str, Any]:
        """What a caller keeps, with `receipt` in place of the right one, and other members as told."""
        answer = copy.deepcopy(ANSWER) | {"receipt": receipt or self.key.sign(self.receipt)}
        return receipts.archive(answer, document=self.document, manifest=MANIFEST) | changes

    def evidence(self, document: bytes | None = None, model: object = None) -> dict[str, Any]:
        encoded = base64.b64encode(self.document if document is None else document).decode()
        return {"evidence": {"document": encoded, "model": MANIFEST if model is None else model}}


def refused(enclave: Enclave, answer: Mapping[str, Any], code: str, **options: Any) -> BlindsightError:
    options = {"policy": enclave.policy, "image": IMAGE} | options
    with pytest.raises((ReceiptError, EvidenceError)) as caught:
        receipts.verify(answer, **options)
    assert caught.value.code == code
    assert caught.value.next_step
    assert not caught.value.retryable
    return caught.value


def refused_by_check(enclave: Enclave, receipt: object) -> str:
    """The code; without judging the evidence again, which is slower than all the rest."""
    with pytest.raises(ReceiptError) as caught:
        receipts.check(receipt, ANSWER, document=enclave.document, claims=enclave.claims, manifest=MANIFEST)
    return caught.value.code
