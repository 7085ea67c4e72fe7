"""Verify an attestation document, after AWS's attestation process (NSM API, docs/attestation_process.md).

     1. Envelope      size, strict CBOR, COSE_Sign1, ES384 and nothing else
     2. Fields        every field present and in its range
     3. Root          the first certificate of the bundle is a pinned root
     4. Chain         root to signer, valid at the time of verification
     5. Signature     by the signer's P-384 key
     6. Debug mode    PCR 0, 1 and 2 are not all zero
     7. Measurements  no value is recalled, and an accepted, unexpired release of the policy lists the PCRs
     8. Claims        function and model in user_data match PCR 16
     9. Identity      neither is recalled, and that release accepts function and model
    10. Freshness     the caller's nonce, and an age within limits

The first failure ends the verification. No PCR, claim or nonce is compared before the signature is valid. No I/O, no
state, no clock. Under a policy that lists QEMU's machine, steps 3 to 5 accept its unsigned documents (`emulated.py`).
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
"""A caller's nonce must be too long to be guessed or to repeat by chance."""

CALLERS_STEP = 11
"""The comparison of keys and manifest with their attested digests, which the caller has to make."""


def verify(evidence: bytes, *, policy: Policy | UnsafeAcceptAnything, nonce: bytes | None, now: datetime) -> Verified:
    """Verify live `evidence` at the time `now` (aware). If it returns, every step passed.

    Raises `EvidenceError`, or `PolicyError` `policy_expired` before it parses the evidence.

    THE CALLER MUST, for the result to mean anything:
    - SEND A FRESH RANDOM `nonce` of 16 bytes or more with its request, AND USE IT ONCE. With None, any document of
      the last `policy.max_age` seconds passes.
    - CALL `check_key_configs` WITH THE KEYS IT IS GOING TO ENCRYPT TO, and use only those. Otherwise a party with other
      keys can relay a genuine document.
    - CALL `check_model` BEFORE IT USES A MANIFEST that came beside the document.
    - TREAT EVERY `kind` BUT `"nitro"` AS UNTRUSTED: such evidence proves nothing about hardware, and that of kind
      `"qemu-nitro-enclave"`, which only a policy that lists this kind accepts, is not even signed.
    - SHOW `report.left_open`: the policy did not restrict these parts.
    - VERIFY AGAIN BEFORE RELYING ON IT LATER, and never rely on it beyond `until`: results do not expire by themselves.

    Raises `ValueError` for a naive `now` or a short nonce, which are programming errors of the caller.
    """
    if now.tzinfo is None:
        raise ValueError("now must be aware of its time zone")
    if nonce is not None and len(nonce) < MIN_NONCE_BYTES:
        raise ValueError(f"a nonce has at least {MIN_NONCE_BYTES} bytes")
    matching.check_policy(policy, at=now)
    return _verify(evidence, policy, nonce, now)


def verify_archived(evidence: bytes, *, policy: Policy | UnsafeAcceptAnything, nonce: bytes | None = None) -> Verified:
    """Verify a stored document at its own timestamp, which only the signer vouches for.

    Expiry of policy and releases is judged by that time, too; a release recalled since is refused. THE CALLER MUST NOT
    SEND ANYTHING TO THE ENCLAVE on the strength of this: a party that stole the expired signing key can make such a
    document today. `nonce`, of any length, is compared if given. Raises `EvidenceError` or `PolicyError`.
    """
    return _verify(evidence, policy, nonce, now=None)


def check_key_configs(verified: Verified, key_configs: bytes) -> None:
    """Compare the encoded `key_configs` with their attested digest: the step that prevents a relay attack.

    Raises `EvidenceClaimsError` `key_configs_mismatch`, or `claims_missing` if the document attests none.
    """
    with numbered(CALLERS_STEP):
        if not hmac.compare_digest(_claims_of(verified).key_configs_sha256, hashlib.sha256(key_configs).digest()):
            raise EvidenceClaimsError("key_configs_mismatch", "The key configurations are not the attested ones.")


def check_model(verified: Verified, manifest: bytes) -> None:
    """Compare the canonical model `manifest` with its attested digest.

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
    return Verified(proven.kind, document, claims, proven.root_sha256, report, release, until)


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
