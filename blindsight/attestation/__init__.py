"""Verification of enclave evidence.

    policy = Policy.load(Path("policy.json"))
    nonce = secrets.token_bytes(32)
    verified = verify(fetch_evidence(nonce), policy=policy, nonce=nonce, now=datetime.now(UTC))
    check_key_configs(verified, key_configs)
    print(verified.report.render())

`verify` raises `blindsight.errors.EvidenceError` or `PolicyError`. Its docstring lists the checks that the caller has
to make.
"""

from blindsight.attestation.claims import CLAIMS_PCR, Claims, expected_pcr16, pcr16_extension
from blindsight.attestation.document import AttestationDocument
from blindsight.attestation.policy import Policy, UnsafeAcceptAnything
from blindsight.attestation.release import Release
from blindsight.attestation.report import VerificationReport, Verified
from blindsight.attestation.roots import AWS_NITRO_ROOT_G1, EvidenceKind
from blindsight.attestation.steps import Step
from blindsight.attestation.verifier import check_key_configs, check_model, verify, verify_archived

__all__ = [
    "AWS_NITRO_ROOT_G1",
    "CLAIMS_PCR",
    "AttestationDocument",
    "Claims",
    "EvidenceKind",
    "Policy",
    "Release",
    "Step",
    "UnsafeAcceptAnything",
    "VerificationReport",
    "Verified",
    "check_key_configs",
    "check_model",
    "expected_pcr16",
    "pcr16_extension",
    "verify",
    "verify_archived",
]
