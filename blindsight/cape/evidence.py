"""Verify evidence as Cape's clients do: against one root and the PCR values that the caller lists, if any.

The steps are those of `blindsight.attestation.verifier`, with its numbers. What Cape's user data says (a function's
checksum, a key) stands in no PCR and is the caller's to compare; without PCR values, any enclave under the root passes.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from blindsight.attestation import chain as chains
from blindsight.attestation import cose
from blindsight.attestation.document import MAX_DOCUMENT_BYTES, AttestationDocument
from blindsight.attestation.policy import DEFAULT_MAX_FUTURE_SKEW
from blindsight.attestation.roots import AWS_NITRO_ROOT_G1, SIMULATED_ROOT_NAME
from blindsight.attestation.verifier import DEBUG_PCRS
from blindsight.errors import (
    EvidenceChainError,
    EvidenceDebugError,
    EvidenceFormatError,
    EvidenceFreshnessError,
    EvidenceMeasurementError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509


def verify_document(
    document: bytes,
    *,
    root: x509.Certificate | None,
    nonce: bytes | None,
    at: datetime | Literal["leaf"],
    pcrs: Mapping[int, frozenset[str]],
) -> AttestationDocument:
    """The fields of `document`, proven. Raises `EvidenceError`.

    `root` None is AWS's. `at` is the time now (aware), or "leaf" for a user's key, whose document is served long after
    its certificates expired: then they are judged by the moment when the signer's became valid. `pcrs` maps an index to
    the accepted values in lower-case hexadecimal. With `nonce` None, freshness is not asked for.
    """
    # 1. Envelope.
    if len(document) > MAX_DOCUMENT_BYTES:
        raise EvidenceFormatError("document_too_large", f"More than {MAX_DOCUMENT_BYTES} bytes.", step=1)
    message = cose.parse(document, step=1)

    # 2. Fields.
    fields = AttestationDocument.parse(message.payload, step=2)

    # 3. Root.
    if hashlib.sha256(fields.cabundle[0]).hexdigest() != fingerprint(root):
        raise EvidenceChainError("root_not_pinned", "the evidence does not descend from the trusted root", step=3)
    chain = chains.parse(fields.cabundle, fields.certificate, step=3)

    # 4. Chain. As in the verifier, an enclave's clock may be ahead of ours by the permitted skew.
    if at == "leaf":
        judged_at = chain.leaf.not_valid_before_utc
    else:
        judged_at = max(at, min(fields.timestamp, at + timedelta(seconds=DEFAULT_MAX_FUTURE_SKEW)))
    key = chains.verify(chain, at=judged_at, step=4)

    # 5. Signature.
    cose.verify(message, key, step=5)

    # 6. Debug mode.
    if not any(any(fields.pcrs.get(index, b"")) for index in DEBUG_PCRS):
        raise EvidenceDebugError("debug_document", "PCR 0, 1 and 2 are zero or missing: debug mode.", step=6)

    # 7. Measurements, with the words of Cape's command line.
    for index, accepted in sorted(pcrs.items()):
        measured = fields.pcrs.get(index, b"").hex()
        if not measured or measured not in accepted:
            code = "pcr_mismatch" if measured else "pcr_missing"
            text = f"PCR{index} {measured} does not match [{' '.join(sorted(accepted))}]"
            raise EvidenceMeasurementError(code, text, step=7)

    # 10. Freshness.
    if nonce is not None and not hmac.compare_digest(nonce, fields.nonce or b""):
        raise EvidenceFreshnessError("nonce_mismatch", "error validating nonce", step=10)
    return fields


def fingerprint(root: x509.Certificate | None) -> str:
    """SHA-256 of the root's DER bytes, in hexadecimal."""
    return AWS_NITRO_ROOT_G1 if root is None else hashlib.sha256(root.public_bytes(Encoding.DER)).hexdigest()


def is_simulated(root: x509.Certificate | None) -> bool:
    """Whether evidence under `root` proves nothing about the host that shows it."""
    if root is None:
        return False
    names = root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(name.value == SIMULATED_ROOT_NAME for name in names)
