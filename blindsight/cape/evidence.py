"""Verify evidence as Cape's clients do: under one root and the PCR values that the caller lists, if any.

The steps have the numbers of `blindsight.attestation.verifier`; up to the sixth they share its code. PCRs do not cover
Cape's user data (a function's checksum, a key), which the caller has to compare. Without PCR values, any enclave under
the root passes.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Literal

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from blindsight.attestation import proof
from blindsight.attestation.policy import DEFAULT_MAX_AGE, DEFAULT_MAX_FUTURE_SKEW
from blindsight.attestation.roots import AWS_NITRO_ROOT_G1, SIMULATED_ROOT_NAME
from blindsight.attestation.steps import Steps
from blindsight.errors import EvidenceChainError, EvidenceFreshnessError, EvidenceMeasurementError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cryptography import x509

    from blindsight.attestation.document import AttestationDocument
    from blindsight.attestation.roots import EvidenceKind


def verify_document(
    document: bytes,
    *,
    root: x509.Certificate | None,
    nonce: bytes | None,
    at: datetime | Literal["leaf"],
    pcrs: Mapping[int, frozenset[str]],
) -> AttestationDocument:
    """Verify `document` and return its fields. Raises `EvidenceError`.

    `root` None is AWS's. `at` is the current time (aware), or "leaf" for a user's key, whose document is served long
    after its certificates expired: then they are judged at the start of the signer's validity. `pcrs` maps an index to
    the accepted values in lower-case hexadecimal. With `nonce` None, none is compared. The document's age is checked,
    except for a user's key.
    """
    steps = Steps()
    # 1 to 6. Envelope, fields, root, chain, signature, debug mode.
    fields = proof.prove(
        document,
        kind_of_root=lambda root_sha256: _kind_of_root(root, root_sha256),
        judged_at=lambda parsed, chain: (
            chain.leaf.not_valid_before_utc
            if at == "leaf"
            else proof.time_of_judgement(parsed, at, DEFAULT_MAX_FUTURE_SKEW)
        ),
        steps=steps,
    ).document

    # With the words of Cape's command line.
    with steps.step(7, "Measurements"):
        for index, accepted in sorted(pcrs.items()):
            measured = fields.pcrs.get(index, b"").hex()
            if not measured or measured not in accepted:
                code = "pcr_mismatch" if measured else "pcr_missing"
                text = f"PCR{index} {measured} does not match [{' '.join(sorted(accepted))}]"
                raise EvidenceMeasurementError(code, text)

    with steps.step(10, "Freshness"):
        if nonce is not None and not hmac.compare_digest(nonce, fields.nonce or b""):
            raise EvidenceFreshnessError("nonce_mismatch", "error validating nonce")
        if at != "leaf":
            proof.check_age(fields.timestamp, at, max_age=DEFAULT_MAX_AGE, max_future_skew=DEFAULT_MAX_FUTURE_SKEW)
    return fields


def _kind_of_root(root: x509.Certificate | None, root_sha256: str) -> EvidenceKind:
    if root_sha256 != fingerprint(root):
        raise EvidenceChainError("root_not_pinned", "the evidence does not descend from the trusted root")
    return "nitro" if root is None else "simulated"


def fingerprint(root: x509.Certificate | None) -> str:
    """SHA-256 of the root's DER bytes, in hexadecimal."""
    return AWS_NITRO_ROOT_G1 if root is None else hashlib.sha256(root.public_bytes(Encoding.DER)).hexdigest()


def is_simulated(root: x509.Certificate | None) -> bool:
    """Whether evidence under `root` is simulated, so that it proves nothing about the host."""
    if root is None:
        return False
    names = root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(name.value == SIMULATED_ROOT_NAME for name in names)
