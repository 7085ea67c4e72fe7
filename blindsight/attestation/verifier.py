"""Verify an attestation document, after AWS's attestation process (NSM API, docs/attestation_process.md).

    1. Envelope      size, strict CBOR, COSE_Sign1, ES384 and nothing else
    2. Fields        every field present and in its range
    3. Root          the first certificate of the bundle is a pinned root
    4. Chain         root to signer, valid at the time of verification
    5. Signature     by the signer's P-384 key
    6. Debug mode    PCR 0, 1 and 2 are not all zero
    7. Measurements  nothing recalled, and a release of the policy that is in force lists the PCRs
    8. Claims        function and model in user_data are what PCR 16 measures
    9. Identity      nothing recalled, and that release accepts function and model
   10. Freshness     the caller's nonce, and an age within limits

Nothing is compared before the signature holds, and the first failure ends the verification. No I/O, no state, no clock.
Only for a policy that names QEMU's machine, steps 3 to 5 may find that there is no signature (`emulated.py`).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from blindsight.attestation import matching, proof
from blindsight.attestation.claims import CLAIMS_PCR, Claims, expected_pcr16
from blindsight.attestation.report import VerificationReport, Verified
from blindsight.attestation.steps import Steps, numbered
from blindsight.errors import EvidenceClaimsError, EvidenceFreshnessError

if TYPE_CHECKING:
    from datetime import datetime

    from blindsight.attestation.policy import Policy, UnsafeAcceptAnything

MIN_NONCE_BYTES = 16
"""A nonce that a caller sends must be too long to guess or to meet twice."""

CALLERS_STEP = 11
"""The comparisons with what came beside the document, which are the caller's to make."""


def verify(evidence: bytes, *, policy: Policy | UnsafeAcceptAnything, nonce: bytes | None, now: datetime) -> Verified:
    """Verify live `evidence` at the time `now` (aware). A return means that every step passed.

    Raises `EvidenceError`, or `PolicyError` `policy_expired` before it looks at the evidence.

    THE CALLER MUST, for the result to mean anything:
    - SEND A FRESH RANDOM `nonce` of 16 bytes or more with its request, AND USE IT ONCE. With None, anyone's document of
      the last `policy.max_age` seconds passes.
    - CALL `check_key_configs` WITH THE KEYS IT IS GOING TO SEAL TO, and seal to those only. Otherwise a genuine
      document can be relayed by a party that holds other keys.
    - CALL `check_model` BEFORE IT BELIEVES A MANIFEST that came beside the document.
    - TREAT EVERY `kind` BUT `"nitro"` AS UNTRUSTED: such evidence proves nothing about hardware, and that of kind
      `"qemu-nitro-enclave"`, which only a policy that names this kind accepts, is not even signed.
    - SHOW `report.left_open`: whatever it names was accepted unseen.
    - VERIFY AGAIN BEFORE RELYING ON IT LATER, and never rely on it beyond `until`; nothing here expires by itself.

    Raises `ValueError` for a naive `now` or a short nonce, which are mistakes of the caller.
    """
    if now.tzinfo is None:
        raise ValueError("now must be aware of its time zone")
    if nonce is not None and len(nonce) < MIN_NONCE_BYTES:
        raise ValueError(f"a nonce has at least {MIN_NONCE_BYTES} bytes")
    matching.check_policy(policy, at=now)
    return _verify(evidence, policy, nonce, now)


def verify_archived(evidence: bytes, *, policy: Policy | UnsafeAcceptAnything, nonce: bytes | None = None) -> Verified:
    """Verify a kept document at its own timestamp, which is only the signer's word for when it was made.

    Ends of policy and releases are judged by that time, too; a release recalled since is refused. THE CALLER MUST NOT
    SEND ANYTHING TO THE ENCLAVE on the strength of this: a thief of the long expired signing key can make such a
    document today. `nonce`, of any length, is compared if it is known. Raises `EvidenceError` or `PolicyError`.
    """
    return _verify(evidence, policy, nonce, now=None)


def check_key_configs(verified: Verified, key_configs: bytes) -> None:
    """Check that the encoded `key_configs` in use are the attested ones: the step that defeats a relay.

    Raises `EvidenceClaimsError` `key_configs_mismatch`, or `claims_missing` if the document attests none.
    """
    with numbered(CALLERS_STEP):
        if not hmac.compare_digest(_claims_of(verified).key_configs_sha256, hashlib.sha256(key_configs).digest()):
            raise EvidenceClaimsError("key_configs_mismatch", "The key configurations are not the attested ones.")


def check_model(verified: Verified, manifest: bytes) -> None:
    """Check that the canonical model `manifest` is the attested one.

    Raises `EvidenceClaimsError` `model_mismatch`, or `claims_missing` if the document attests none.
    """
    with numbered(CALLERS_STEP):
        if not hmac.compare_digest(_claims_of(verified).model_sha256, hashlib.sha256(manifest).digest()):
            raise EvidenceClaimsError("model_mismatch", "The model manifest is not the attested one.")


def _claims_of(verified: Verified) -> Claims:
    if verified.claims is None:
        raise EvidenceClaimsError("claims_missing", "The document makes no claims.")
    return verified.claims


def _verify(
    evidence: bytes, policy: Policy | UnsafeAcceptAnything, nonce: bytes | None, now: datetime | None
) -> Verified:
    steps = Steps()

    # 1 to 6. Envelope, fields, root, chain, signature, debug mode.
    proven = proof.prove(
        evidence,
        kind_of_root=lambda root_sha256: matching.by_root(policy, root_sha256)[0].kind,
        judged_at=lambda document, _: (
            document.timestamp if now is None else proof.time_of_judgement(document, now, policy.max_future_skew)
        ),
        steps=steps,
        unsigned=bool(policy.releases_of(None)),
    )
    document = proven.document
    accepted = policy.releases_of(proven.root_sha256)

    # An archived document is judged by what was in force when it was made; its time is signed by now.
    with steps.step(7, "Measurements") as measurements:
        if now is None:
            matching.check_policy(policy, at=document.timestamp)
        at = document.timestamp if now is None else now
        releases = matching.by_measurements(accepted, document.pcrs, policy=policy, at=at)

    # user_data is only as good as the PCR that measures it.
    with steps.step(8, "Claims") as step:
        claims = Claims.parse(document.user_data)
        if claims is not None:
            _check_claims_pcr(claims, document.pcrs.get(CLAIMS_PCR))
        step.asked(claims is not None, "function and model in user_data", f"PCR {CLAIMS_PCR}")

    # Of the releases with these measurements, the first that accepts function and model is the one.
    with steps.step(9, "Identity") as step:
        release = matching.by_identity(releases, claims, policy=policy)
        identities = (("function", release.function_checksums), ("model", release.model_digests))
        asked = [name for name, listed in identities if listed is not None]
        step.asked(bool(asked), " and ".join(asked), "the policy's accepted values")
    indices = ", ".join(map(str, sorted(release.pcrs)))
    measurements.asked(bool(indices), f"PCR {indices}", "the policy's accepted values")

    with steps.step(10, "Freshness") as step:
        if nonce is not None:
            _check_nonce(nonce, document.nonce)
        if now is not None:
            proof.check_age(document.timestamp, now, max_age=policy.max_age, max_future_skew=policy.max_future_skew)
        compared = {
            name: against
            for name, against, was in (
                ("nonce", "the caller's nonce", nonce is not None),
                ("age", f"{policy.max_age} s at most", now is not None),
            )
            if was
        }
        step.asked(bool(compared), " and ".join(compared), ", ".join(compared.values()))

    report = VerificationReport(proven.kind, at, now is None, steps.done(), release.name, release.left_open)
    until = min((end for end in (policy.expires, release.expires) if end is not None), default=None)
    return Verified(proven.kind, document, claims, proven.root_sha256, report, until)


def _check_claims_pcr(claims: Claims, measured: bytes | None) -> None:
    if measured is None:
        raise EvidenceClaimsError("claims_pcr_missing", f"PCR {CLAIMS_PCR} is not in the document.")
    if not hmac.compare_digest(measured, expected_pcr16(claims.func_checksum, claims.model_sha256)):
        raise EvidenceClaimsError("claims_pcr_mismatch", f"PCR {CLAIMS_PCR} measures other claims.")


def _check_nonce(sent: bytes, received: bytes | None) -> None:
    if not received:
        raise EvidenceFreshnessError("nonce_missing", "The document carries no nonce.")
    if not hmac.compare_digest(sent, received):
        raise EvidenceFreshnessError("nonce_mismatch", "The document carries another nonce.")
