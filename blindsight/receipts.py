"""Receipts: the enclave's signature over digests of image, answer, model and function (docs/protocol.md, section 6).

A receipt is a compact JWS (RFC 7515, ES256). Its header contains the key, whose thumbprint (RFC 7638) must be in the
evidence. A holder of receipt, answer and evidence can verify them offline, years later.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from blindsight import strict_base64, strict_json
from blindsight.attestation import verifier
from blindsight.errors import ReceiptError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blindsight.attestation.claims import Claims
    from blindsight.attestation.policy import Policy
    from blindsight.attestation.report import VerificationReport

SCHEMA: Final = "blindsight-receipt/1"
EVIDENCE_FIELD: Final = "receipt-evidence"
"""Header field of the inner request that requests a receipt: SHA-256, in hex, of the evidence that the caller relies
on."""

SIGNED_MEMBERS: Final = ("image", "model", "predictions")
"""The answer's members that `output_sha256` covers."""

_TYPE = "blindsight-receipt+jws"
_COORDINATE_BYTES = 32
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BEFORE_EVIDENCE = timedelta(seconds=60)
_AFTER_EVIDENCE = timedelta(hours=24)


@dataclass(frozen=True)
class Receipt:
    """The contents of a receipt. Digests are SHA-256 in lower-case hexadecimal, `iat` is in whole seconds since
    1970.
    """

    iat: int
    input_sha256: str
    output_sha256: str
    func_checksum: str
    model_sha256: str
    weights_sha256: str
    evidence_sha256: str
    schema: str = SCHEMA

    @property
    def issued(self) -> datetime:
        return datetime.fromtimestamp(self.iat, UTC)


@dataclass(frozen=True)
class VerifiedReceipt:
    """A valid receipt with the report of its evidence. `image_checked`: the image was available and compared."""

    receipt: Receipt
    report: VerificationReport
    image_checked: bool


class ReceiptKey:
    """The enclave's signing key on P-256, which exists only in this process."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        self._jwk = {
            "crv": "P-256",
            "kty": "EC",
            "x": _base64url(numbers.x.to_bytes(_COORDINATE_BYTES, "big")),
            "y": _base64url(numbers.y.to_bytes(_COORDINATE_BYTES, "big")),
        }
        self._header = _base64url(rfc8785.dumps({"alg": "ES256", "jwk": dict(self._jwk), "typ": _TYPE}))

    @property
    def thumbprint(self) -> bytes:
        """The RFC 7638 thumbprint with SHA-256, 32 bytes, as in the evidence."""
        return _thumbprint(self._jwk)

    def sign(self, receipt: Receipt) -> str:
        """The compact JWS."""
        signed = f"{self._header}.{_base64url(rfc8785.dumps(asdict(receipt)))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
        return f"{signed}.{_base64url(signature)}"


def output_digest(answer: Mapping[str, Any]) -> str:
    """The digest of an answer's signed members, hex. Raises `ReceiptError` if one is missing."""
    try:
        return hashlib.sha256(rfc8785.dumps({name: answer[name] for name in SIGNED_MEMBERS})).hexdigest()
    except (KeyError, ValueError, RecursionError) as error:
        raise _malformed("The answer lacks what a receipt is about.") from error


def check(
    text: object, answer: Mapping[str, Any], *, document: bytes, claims: Claims, manifest: Mapping[str, Any]
) -> Receipt:
    """Verify a receipt against its answer and against verified evidence: `document` and `claims`.

    `manifest` is the attested one. The caller has to compare image and time. Raises `ReceiptError`.
    """
    header, payload, signed, signature = _parse(text)
    jwk = header["jwk"]
    key = _public_key(jwk)
    if not hmac.compare_digest(_thumbprint(jwk), claims.receipt_key_sha256):
        raise ReceiptError("receipt_key_mismatch", "The receipt is signed with another key than the attested one.")
    try:
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise ReceiptError("receipt_signature_invalid", "The receipt's signature does not hold.") from error
    receipt = _receipt(payload)
    if receipt.evidence_sha256 != hashlib.sha256(document).hexdigest():
        raise ReceiptError("receipt_evidence_mismatch", "The receipt was made for another attestation document.")
    if receipt.func_checksum != claims.func_checksum.hex():
        raise ReceiptError("receipt_function_mismatch", "The receipt names another function than the evidence.")
    onnx = manifest.get("onnx")
    weights = onnx.get("sha256") if isinstance(onnx, dict) else None
    if receipt.model_sha256 != claims.model_sha256.hex() or receipt.weights_sha256 != weights:
        raise ReceiptError("receipt_model_mismatch", "The receipt names another model than the evidence.")
    if receipt.output_sha256 != output_digest(answer):
        raise ReceiptError("receipt_output_mismatch", "The answer is not the one that was signed.")
    return receipt


def check_image(receipt: Receipt, image: bytes) -> None:
    """Raise `ReceiptError` (`receipt_input_mismatch`) if the receipt is for another image."""
    if receipt.input_sha256 != hashlib.sha256(image).hexdigest():
        raise ReceiptError("receipt_input_mismatch", "The receipt is for another image.")


def check_time(receipt: Receipt, evidence: datetime) -> None:
    """Raise `ReceiptError` (`receipt_time_implausible`) if its time does not fit the time of its evidence."""
    if not -_BEFORE_EVIDENCE <= receipt.issued - evidence <= _AFTER_EVIDENCE:
        raise ReceiptError("receipt_time_implausible", "The receipt's time does not fit its evidence.")


def archive(answer: Mapping[str, Any], *, document: bytes, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The answer with its evidence, as text to store."""
    evidence = {"document": base64.b64encode(document).decode(), "model": dict(manifest)}
    return {**answer, "evidence": evidence}


def verify(answer: Mapping[str, Any], *, policy: Policy, image: bytes | None = None) -> VerifiedReceipt:
    """Verify a stored answer with its receipt and its evidence, offline.

    The evidence is judged at its own time, under `policy`. Raises `ReceiptError`, or `EvidenceError` or `PolicyError`
    if the document does not verify.
    """
    document, manifest = _evidence(answer.get("evidence"))
    verified = verifier.verify_archived(document, policy=policy)
    verifier.check_model(verified, rfc8785.dumps(manifest))
    assert verified.claims is not None  # noqa: S101 -- check_model has refused a document without
    receipt = check(answer.get("receipt"), answer, document=document, claims=verified.claims, manifest=manifest)
    if image is not None:
        check_image(receipt, image)
    check_time(receipt, verified.document.timestamp)
    return VerifiedReceipt(receipt, verified.report, image is not None)


def _evidence(evidence: object) -> tuple[bytes, dict[str, Any]]:
    if isinstance(evidence, dict) and isinstance(evidence.get("model"), dict):
        try:
            rfc8785.dumps(evidence["model"])
            return strict_base64.decode(evidence["document"]), evidence["model"]
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise _malformed("The answer's evidence cannot be read.") from error
    raise _malformed("The answer was saved without evidence.")


def _parse(text: object) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Header, payload, signed bytes, and the signature in the form of `cryptography`."""
    parts = text.split(".") if isinstance(text, str) else []
    if len(parts) != 3 or not isinstance(text, str) or not text.isascii():
        raise _malformed("The answer has no receipt in compact JWS form.")
    header, payload = (_object(part) for part in parts[:2])
    signature = _decoded(parts[2])
    # The algorithm is ours to state, not the header's to choose.
    if header.keys() != {"alg", "typ", "jwk"} or header["alg"] != "ES256" or header["typ"] != _TYPE:
        raise _malformed("The receipt's header is not that of a receipt.")
    if len(signature) != 2 * _COORDINATE_BYTES:
        raise _malformed("The receipt's signature has the wrong length.")
    r, s = (int.from_bytes(half, "big") for half in (signature[:_COORDINATE_BYTES], signature[_COORDINATE_BYTES:]))
    return header, payload, text.rpartition(".")[0].encode(), encode_dss_signature(r, s)


def _public_key(jwk: object) -> ec.EllipticCurvePublicKey:
    members = jwk if isinstance(jwk, dict) else {}
    if members.keys() != {"crv", "kty", "x", "y"} or (members["crv"], members["kty"]) != ("P-256", "EC"):
        raise _malformed("The receipt's key is not on P-256.")
    x, y = _decoded(members["x"]), _decoded(members["y"])
    if len(x) != _COORDINATE_BYTES or len(y) != _COORDINATE_BYTES:
        raise _malformed("The receipt's key is not on P-256.")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
    except ValueError as error:
        raise _malformed("The receipt's key is not on P-256.") from error


def _receipt(payload: dict[str, Any]) -> Receipt:
    digests = payload.keys() - {"schema", "iat"}
    try:
        receipt = Receipt(**payload)
    except TypeError as error:
        raise _malformed("The receipt lacks a member, or has one too many.") from error
    if (
        receipt.schema != SCHEMA
        or type(receipt.iat) is not int
        or not 0 < receipt.iat < 1 << 33
        or not all(isinstance(payload[name], str) and _DIGEST.fullmatch(payload[name]) for name in digests)
        or "schema" not in payload
    ):
        raise _malformed("A member of the receipt is not of its form.")
    return receipt


def _object(part: str) -> dict[str, Any]:
    decoded = _decoded(part)
    try:
        value = strict_json.loads(decoded)
        # One spelling only, so that no two readers can read it differently: 1.0 for 1, members in another order.
        canonical = rfc8785.dumps(value) == decoded
    except ValueError as error:
        raise _malformed("A part of the receipt is not JSON.") from error
    if not canonical or not isinstance(value, dict):
        raise _malformed("A part of the receipt is not a canonical JSON object.")
    return value


def _decoded(part: object) -> bytes:
    if not isinstance(part, str) or not re.fullmatch(r"[A-Za-z0-9_-]*", part) or len(part) % 4 == 1:
        raise _malformed("A part of the receipt is not base64url.")
    decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    # One spelling only: unused bits in the last character must be zero.
    if _base64url(decoded) != part:
        raise _malformed("A part of the receipt is not base64url.")
    return decoded


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _thumbprint(jwk: dict[str, str]) -> bytes:
    return hashlib.sha256(rfc8785.dumps(dict(jwk))).digest()


def _malformed(message: str) -> ReceiptError:
    return ReceiptError("malformed_receipt", message)
