"""Steps 1 to 6 of the verification, which apply to every kind of evidence, and the age check.

`blindsight.attestation.verifier` defines the steps and takes the others for Blindsight's evidence.
`blindsight.cape.evidence` does so for Cape's clients.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from blindsight.attestation import chain as chains
from blindsight.attestation import cose, emulated
from blindsight.attestation.document import MAX_DOCUMENT_BYTES, AttestationDocument
from blindsight.attestation.roots import EMULATED
from blindsight.errors import EvidenceChainError, EvidenceDebugError, EvidenceFormatError, EvidenceFreshnessError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from blindsight.attestation.roots import EvidenceKind
    from blindsight.attestation.steps import Steps

DEBUG_PCRS = (0, 1, 2)
"""Zero in a debug enclave, whose signature and chain are genuine. PCR 3 and 4 are not zero there."""

_SHOWN_FIELDS, _SHOWN_LETTERS = 8, 40
"""How many unknown fields a report names, and how much of a name."""


@dataclass(frozen=True)
class Proven:
    """A document whose signature is valid. NOTHING IN IT HAS BEEN COMPARED YET.

    `root_sha256` is None for an unsigned document of QEMU, which proves nothing.
    """

    kind: EvidenceKind
    document: AttestationDocument
    root_sha256: str | None


def prove(
    evidence: bytes,
    *,
    kind_of_root: Callable[[str], EvidenceKind],
    judged_at: Callable[[AttestationDocument, chains.Chain], datetime],
    steps: Steps,
    unsigned: bool = False,
) -> Proven:
    """Take steps 1 to 6. Raises `EvidenceError`.

    `kind_of_root` takes the root's SHA-256 in hexadecimal and raises `EvidenceChainError` unless the root is accepted.
    `judged_at` returns the time at which the chain must be valid: `time_of_judgement` for live evidence. With
    `unsigned`, QEMU's documents pass, too, which prove nothing.
    """
    with steps.step(1, "Envelope") as step:
        if len(evidence) > MAX_DOCUMENT_BYTES:
            raise EvidenceFormatError("document_too_large", f"More than {MAX_DOCUMENT_BYTES} bytes.")
        message = cose.parse(evidence, unsigned=unsigned)
        step.passed(f"{len(evidence)} bytes", f"COSE_Sign1 {'as QEMU writes it' if message.unsigned else 'with ES384'}")

    with steps.step(2, "Fields") as step:
        document = AttestationDocument.parse(message.payload)
        step.passed(f"document of {document.module_id!a}{_unknown(document.unknown_fields)}", "AWS's field table")

    kind: EvidenceKind = EMULATED
    root_sha256: str | None = None
    if message.unsigned:
        emulated.check(message, document, steps=steps)
    else:
        kind, root_sha256 = _signed(message, document, kind_of_root, judged_at, steps)

    # Whatever is accepted otherwise.
    with steps.step(6, "Debug mode") as step:
        if not any(any(document.pcrs.get(index, b"")) for index in DEBUG_PCRS):
            raise EvidenceDebugError("debug_document", "PCR 0, 1 and 2 are zero or missing: debug mode.")
        step.passed("PCR 0, 1, 2", "not all zero")
    return Proven(kind, document, root_sha256)


def _signed(
    message: cose.Sign1,
    document: AttestationDocument,
    kind_of_root: Callable[[str], EvidenceKind],
    judged_at: Callable[[AttestationDocument, chains.Chain], datetime],
    steps: Steps,
) -> tuple[EvidenceKind, str]:
    """Take steps 3 to 5: returns the signed document and the root's SHA-256."""
    # The root is the bundle's own first certificate, which counts only if its fingerprint is pinned.
    with steps.step(3, "Root") as step:
        root_sha256 = hashlib.sha256(document.cabundle[0]).hexdigest()
        kind = kind_of_root(root_sha256)
        chain = chains.parse(document.cabundle, document.certificate)
        if kind == "nitro" and chain.calls_itself_simulated:
            raise EvidenceChainError("simulated_root", "A simulated root is listed as a genuine one.")
        step.passed(f"root {root_sha256}", f"the policy's roots, as {kind}")

    # At the verifier's time.
    with steps.step(4, "Chain") as step:
        at = judged_at(document, chain)
        key = chains.verify(chain, at=at)
        step.passed(f"{len(chain.certificates)} certificates", f"the root's key, at {at:%Y-%m-%d %H:%M:%SZ}")

    with steps.step(5, "Signature") as step:
        cose.verify(message, key)
        step.passed("signature over the payload", "the key of the leaf certificate")
    return kind, root_sha256


def time_of_judgement(document: AttestationDocument, now: datetime, max_future_skew: int) -> datetime:
    """The time at which the chain of live evidence must be valid: now. If the enclave's clock is ahead by at most the
    permitted skew, the time of the document counts, because its newest certificate can be ahead, too. The result is
    never earlier than now, so the skew cannot extend an expired certificate.
    """
    return max(now, min(document.timestamp, now + timedelta(seconds=max_future_skew)))


def check_age(timestamp: datetime, now: datetime, *, max_age: int, max_future_skew: int) -> None:
    """The age check of step 10. Raises `EvidenceFreshnessError`."""
    age = (now - timestamp).total_seconds()
    if age > max_age:
        raise EvidenceFreshnessError(
            "evidence_too_old", f"The document is {math.ceil(age)} s old; {max_age} s are accepted."
        )
    if -age > max_future_skew:
        raise EvidenceFreshnessError(
            "evidence_from_future", f"The document was made {math.ceil(-age)} s in the future."
        )


def _unknown(fields: tuple[int | str, ...]) -> str:
    """The report's text about fields that no check uses; AWS may add fields at any time."""
    if not fields:
        return ""
    names = [f"{name[:_SHOWN_LETTERS]!a}" if isinstance(name, str) else str(name) for name in fields[:_SHOWN_FIELDS]]
    more = f" and {len(fields) - len(names)} more" if len(fields) > len(names) else ""
    return f", and fields that are not known here: {', '.join(names)}{more}"
