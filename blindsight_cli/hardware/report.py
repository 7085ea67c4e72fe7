"""The report file `blindsight-hardware-report/1`: canonical JSON (RFC 8785), and its verification (docs/hardware.md).

    {"schema": "blindsight-hardware-report/1", "body": {...}, "evidence": {"document": b64, "key_configs": b64}}

`body` has the observations. The document is requested last, with the SHA-256 of the canonical body as the nonce, so
that the enclave's signature covers the body: a changed report would need a new document of the same enclave. Model,
registers and answers with receipts are proven; the rest of the body is the reporter's statement.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import rfc8785

from blindsight import receipts, strict_base64, strict_json
from blindsight.attestation import check_key_configs, check_model, verify_archived
from blindsight.errors import BlindsightError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blindsight.attestation import Policy, Verified

SCHEMA: Final = "blindsight-hardware-report/1"

BODY: Final = MappingProxyType(
    {
        "made": str,
        "versions": dict,
        "host": dict,
        "model": dict,
        "measurements": dict,
        "verification": dict,
        "notices": list,
        "confinement": dict | None,
        "answers": list,
        "timings": dict,
    }
)
"""The body's members, all required, and their types."""

MAX_BYTES: Final = 16 << 20
"""Maximum size of a report file. An answer with its evidence has about 10 kB."""

_APART = timedelta(minutes=10)
"""Maximum difference between the body's time and the document's, which are of two clocks."""


class ReportError(BlindsightError):
    """The report is invalid. Not retryable, since the file does not change."""

    NEXT_STEPS = MappingProxyType(
        {
            "malformed_report": "Give the file that `blindsight hardware-report --out FILE` wrote, unchanged.",
            "report_changed": "Do not rely on it: it is not what the enclave's document was made for.",
            "report_contradicts": "Do not rely on it: it says something else than its evidence.",
        }
    )


@dataclass(frozen=True)
class VerifiedReport:
    """A valid report: its body, its verified evidence, and the SHA-256 of the file in hexadecimal."""

    body: Mapping[str, Any]
    verified: Verified
    sha256: str


def nonce_of(body: Mapping[str, Any]) -> bytes:
    """The nonce for the report's document: SHA-256 of the canonical body, 32 bytes."""
    return hashlib.sha256(rfc8785.dumps(dict(body))).digest()


def encode(body: Mapping[str, Any], *, document: bytes, key_configs: bytes) -> bytes:
    """Encode a report file. The nonce of `document` must be `nonce_of(body)`."""
    evidence = {
        "document": base64.b64encode(document).decode(),
        "key_configs": base64.b64encode(key_configs).decode(),
    }
    return rfc8785.dumps({"schema": SCHEMA, "body": dict(body), "evidence": evidence})


def verify(content: bytes, policy: Policy) -> VerifiedReport:
    """Verify a report offline, at the time of its document. Raises `ReportError`, `EvidenceError`, `ReceiptError` or
    `PolicyError`.

    1. The file is canonical, and of this schema.
    2. The document is genuine under `policy`, and its nonce is the body's digest.
    3. The key configurations and the model are the attested ones; registers, kind and time are the document's.
    4. Each answer's receipt holds, and was signed by an enclave of the same registers, function and model.
    """
    body, document, key_configs = _parts(content)
    try:
        verified = verify_archived(document, policy=policy, nonce=nonce_of(body))
    except BlindsightError as error:
        if error.code == "nonce_mismatch":
            raise ReportError("report_changed", "The evidence was made for another report.") from error
        raise
    check_key_configs(verified, key_configs)
    try:
        check_model(verified, rfc8785.dumps(body["model"]))
        _check_words(body, verified)
        for answer in body["answers"]:
            _check_answer(answer, verified, policy)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed("A member of it is not of its form.") from error
    return VerifiedReport(body, verified, hashlib.sha256(content).hexdigest())


def measurements(verified: Verified) -> dict[str, str]:
    """PCR index to SHA-384 in hexadecimal, without registers of zeros."""
    return {str(index): value.hex() for index, value in sorted(verified.document.pcrs.items()) if any(value)}


def _check_words(body: Mapping[str, Any], verified: Verified) -> None:
    """Compare the body with the document where both state the same. Raises `ReportError`."""
    if body["measurements"] != measurements(verified):
        raise ReportError("report_contradicts", "Its registers are not those of its evidence.")
    if body["verification"]["kind"] != verified.kind:
        raise ReportError("report_contradicts", "It names another kind of evidence than it has.")
    made = datetime.strptime(body["made"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    if abs(made - verified.document.timestamp) > _APART:
        raise ReportError("report_contradicts", "Its time is not that of its evidence.")

    told = body["confinement"]
    if told is not None and not all(isinstance(told[name], list) for name in ("layers", "gaps")):
        raise _malformed("A member of its body is not of its form.")


def _check_answer(entry: Mapping[str, Any], verified: Verified, policy: Policy) -> None:
    answer = entry["answer"]
    if not isinstance(entry["photo"]["name"], str):
        raise _malformed("A member of its body is not of its form.")
    held = receipts.verify(answer, policy=policy)
    if held.receipt.input_sha256 != entry["photo"]["sha256"]:
        raise ReportError("report_contradicts", "An answer is to another photo than it says.")
    # Of the report's enclave, but perhaps with earlier keys.
    document = strict_base64.decode(answer["evidence"]["document"])
    signer = verify_archived(document, policy=policy)
    if _identity(signer) != _identity(verified):
        raise ReportError("report_contradicts", "An answer is another enclave's than the report's.")


def _identity(verified: Verified) -> tuple[object, ...]:
    claims = verified.claims
    function = None if claims is None else (claims.func_checksum, claims.model_sha256)
    return verified.kind, verified.root_sha256, function, measurements(verified)


def _parts(content: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """Body, document and key configurations of a file. Raises `ReportError`."""
    if len(content) > MAX_BYTES:
        raise _malformed(f"It has more than {MAX_BYTES >> 20} MiB.")
    try:
        report = strict_json.loads(content)
        # Only the canonical encoding, so that a report has a single digest.
        canonical = rfc8785.dumps(report) == content
    except (ValueError, RecursionError) as error:
        raise _malformed("It is not JSON.") from error
    if not canonical or not isinstance(report, dict) or report.keys() != {"schema", "body", "evidence"}:
        raise _malformed("It is not a canonical object of three members.")
    if report["schema"] != SCHEMA:
        raise _malformed(f"Its schema is not {SCHEMA}.")
    body, evidence = report["body"], report["evidence"]
    if not isinstance(body, dict) or body.keys() != BODY.keys():
        raise _malformed("Its body lacks a member, or has one too many.")
    if not all(isinstance(body[name], kind) for name, kind in BODY.items()):
        raise _malformed("A member of its body is not of its form.")
    if not isinstance(evidence, dict) or evidence.keys() != {"document", "key_configs"}:
        raise _malformed("Its evidence lacks a member, or has one too many.")
    try:
        document, key_configs = (strict_base64.decode(evidence[name]) for name in ("document", "key_configs"))
        again = {"document": base64.b64encode(document).decode(), "key_configs": base64.b64encode(key_configs).decode()}
    except (TypeError, ValueError) as error:
        raise _malformed("Its evidence is not base64.") from error
    # Unused bits in the last base64 character would allow a second encoding of the same evidence.
    if again != evidence:
        raise _malformed("Its evidence is not base64 in its one spelling.")
    return body, document, key_configs


def _malformed(message: str) -> ReportError:
    return ReportError("malformed_report", f"The file is not a hardware report. {message}")
