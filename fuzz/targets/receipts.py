"""Harness for receipts (JWS, RFC 7515): stored answers, and receipts that the attested key signs.

The first byte selects: even, the rest is the JSON of an answer with its evidence; odd, it has three lines, header and
payload of a receipt, which are signed, and the answer.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

import rfc8785
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from blindsight import receipts, strict_json
from blindsight.attestation import Claims, Policy, Release, expected_pcr16
from blindsight.attestation.document import encode
from blindsight.errors import EvidenceError, PolicyError, ReceiptError
from fuzz import mock_pki
from fuzz.target import Target

_KEY = ec.derive_private_key(int.from_bytes(hashlib.sha256(b"receipt").digest()) >> 8, ec.SECP256R1())
_MANIFEST: dict[str, Any] = {"name": "model", "onnx": {"sha256": "b" * 64}}
_ANSWER: dict[str, Any] = {
    "image": {"width": 1},
    "model": {"name": "model"},
    "predictions": [{"label": "x", "probability": 0.5}],
}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _jwk() -> dict[str, str]:
    numbers = _KEY.public_key().public_numbers()
    x, y = (_base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


_HEADER = rfc8785.dumps({"alg": "ES256", "jwk": _jwk(), "typ": "blindsight-receipt+jws"})
_CLAIMS = Claims(
    hashlib.sha256(b"function").digest(),
    hashlib.sha256(b"key configurations").digest(),
    hashlib.sha256(rfc8785.dumps(_MANIFEST)).digest(),
    hashlib.sha256(rfc8785.dumps(_jwk())).digest(),
)


@cache
def _document() -> bytes:
    pcrs = mock_pki.PCRS | {16: expected_pcr16(_CLAIMS.func_checksum, _CLAIMS.model_sha256)}
    return mock_pki.signed(encode(mock_pki.fields() | {"pcrs": pcrs, "user_data": _CLAIMS.to_json()}))


@cache
def _policy() -> Policy:
    root = hashlib.sha256(mock_pki.ders()[0]).hexdigest()
    pcrs = {0: frozenset({mock_pki.PCRS[0].hex()})}
    return Policy(
        (
            Release(
                kind="simulated",
                roots=frozenset({root}),
                pcrs=pcrs,
                function_checksums=frozenset({_CLAIMS.func_checksum.hex()}),
            ),
        )
    )


def run(data: bytes) -> None:
    """Check that only the canonical receipt for exactly this answer, evidence, function and model is accepted."""
    rest = data[1:]
    if data[:1] and data[0] % 2:
        header, _, rest = rest.partition(b"\n")
        payload, _, answer = rest.partition(b"\n")
        members = _object(answer)
        receipt = receipts.check(
            _signed(header, payload), members, document=_document(), claims=_CLAIMS, manifest=_MANIFEST
        )
        assert (header, payload) == (_HEADER, rfc8785.dumps(strict_json.loads(payload)))
    else:
        members = _object(rest)
        receipt = receipts.verify(members, policy=_policy()).receipt
    assert receipt.func_checksum == _CLAIMS.func_checksum.hex()
    assert receipt.model_sha256 == _CLAIMS.model_sha256.hex()
    assert receipt.evidence_sha256 == hashlib.sha256(_document()).hexdigest()
    signed = {name: members[name] for name in receipts.SIGNED_MEMBERS}
    assert receipt.output_sha256 == hashlib.sha256(rfc8785.dumps(signed)).hexdigest()


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = strict_json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ReceiptError("malformed_receipt", "no object")
    return value


def _signed(header: bytes, payload: bytes) -> str:
    signed = f"{_base64url(header)}.{_base64url(payload)}"
    der = _KEY.sign(signed.encode(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return f"{signed}.{_base64url(b''.join(number.to_bytes(32, 'big') for number in decode_dss_signature(der)))}"


def seeds() -> dict[str, bytes]:
    """A valid answer, and its parts."""
    payload = rfc8785.dumps({
        "schema": receipts.SCHEMA, "iat": int(mock_pki.NOW.timestamp()), "input_sha256": "a" * 64,
        "output_sha256": receipts.output_digest(_ANSWER), "func_checksum": _CLAIMS.func_checksum.hex(),
        "model_sha256": _CLAIMS.model_sha256.hex(), "weights_sha256": "b" * 64,
        "evidence_sha256": hashlib.sha256(_document()).hexdigest(),
    })  # fmt: skip
    answer = _ANSWER | {"receipt": _signed(_HEADER, payload)}
    kept = receipts.archive(answer, document=_document(), manifest=_MANIFEST)
    return {
        "kept": b"\x00" + rfc8785.dumps(kept),
        "no-evidence": b"\x00" + rfc8785.dumps(answer),
        "no-document": b"\x00" + rfc8785.dumps(answer | {"evidence": {"document": "AA==", "model": _MANIFEST}}),
        "signed": b"\x01" + b"\n".join((_HEADER, payload, rfc8785.dumps(_ANSWER))),
        "other-header": b"\x01" + b"\n".join((b'{"alg":"none"}', payload, rfc8785.dumps(_ANSWER))),
    }


TARGET = Target(
    run, (ReceiptError, EvidenceError, PolicyError), seeds, max_bytes=8000,
    words=(
        b'"iat"', b'"schema"', b'"receipt"', b'"evidence"', b'"document"', b'"model"', b'"jwk"', b'"predictions"',
        b"1e999", b"1e21", b"-0", b"\\ud800", b"\xc3\xa9", b"9007199254740993",
    ),
)  # fmt: skip
