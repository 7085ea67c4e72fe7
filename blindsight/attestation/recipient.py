"""Whom to seal to: a verified document together with the keys and the model manifest that came beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from blindsight import strict_json
from blindsight.attestation import verifier
from blindsight.attestation.steps import Steps
from blindsight.errors import EvidenceClaimsError, SealingError
from blindsight.sealing import keyconfig

if TYPE_CHECKING:
    from datetime import datetime

    from blindsight.attestation.claims import Claims
    from blindsight.attestation.policy import Policy, UnsafeAcceptAnything
    from blindsight.attestation.report import VerificationReport, Verified
    from blindsight.sealing.keyconfig import KeyConfig


@dataclass(frozen=True)
class Recipient:
    """An enclave whose evidence was accepted: whom to seal to, and what is known of it."""

    config: KeyConfig
    verified: Verified
    document: bytes
    key_configs: bytes
    """The `application/ohttp-keys` list, as attested."""
    manifest: dict[str, Any]

    @property
    def classes(self) -> int:
        """How many classes the model tells apart."""
        return int(self.manifest["labels"]["count"])

    @property
    def report(self) -> VerificationReport:
        return self.verified.report

    @property
    def function_checksum(self) -> str:
        """SHA-256 of the bundle, hex, as attested."""
        return self.claims.func_checksum.hex()

    @property
    def model_digest(self) -> str:
        """SHA-256 of the canonical manifest, hex, as attested."""
        return self.claims.model_sha256.hex()

    @property
    def measurements(self) -> dict[str, str]:
        """PCR index to hex, without the PCRs that nothing was measured into."""
        return {str(index): value.hex() for index, value in sorted(self.verified.document.pcrs.items()) if any(value)}

    @property
    def notices(self) -> tuple[str, ...]:
        """What a caller who relies on an answer must know."""
        notices = [str(self.manifest["notice"])] if "notice" in self.manifest else []
        if not self.manifest.get("trained"):
            notices.append("UNTRAINED WEIGHTS: this model has learnt nothing and its answers are noise.")
        if self.report.notice is not None:
            notices.append(self.report.notice)
        return (*self.report.warnings, *notices)

    @property
    def notice(self) -> str | None:
        """The notices in one text; None if there are none."""
        return " ".join(self.notices) or None

    def summary(self) -> dict[str, Any]:
        """What an answer says of the enclave behind it."""
        return {
            "kind": self.verified.kind,
            "verified": True,
            "function_checksum": self.function_checksum,
            "measurements": self.measurements,
        }

    @property
    def document_sha256(self) -> str:
        """SHA-256 of the attestation document, hex: what a receipt names."""
        return hashlib.sha256(self.document).hexdigest()

    @property
    def claims(self) -> Claims:
        """What the document claims."""
        assert self.verified.claims is not None  # noqa: S101 -- check_key_configs has refused a document without
        return self.verified.claims


def verify_recipient(
    document: bytes,
    key_configs: bytes,
    manifest: bytes,
    *,
    policy: Policy | UnsafeAcceptAnything,
    nonce: bytes,
    now: datetime,
) -> Recipient:
    """Take the verifier's steps and the one that it leaves to its caller: keys and manifest are the attested ones.

    `manifest` is the canonical model manifest; `nonce` is fresh and used for nothing else. Raises `EvidenceError`,
    `PolicyError` if the policy has expired, or `SealingError` if the enclave offers no key configuration that is known
    here.
    """
    verified = verifier.verify(document, policy=policy, nonce=nonce, now=now)
    binding = Steps()
    with binding.step(verifier.CALLERS_STEP, "Binding") as step:
        verifier.check_key_configs(verified, key_configs)
        verifier.check_model(verified, manifest)
        model = _manifest(manifest)
        step.passed("key configurations and model manifest", "their attested digests")
    configs = keyconfig.decode_list(key_configs)
    if not configs:
        raise SealingError("unsupported_suite", "The enclave offers no key configuration that is known here.")
    report = replace(verified.report, steps=(*verified.report.steps, *binding.done()))
    return Recipient(keyconfig.preferred(configs), replace(verified, report=report), document, key_configs, model)


def _manifest(encoded: bytes) -> dict[str, Any]:
    try:
        manifest = strict_json.loads(encoded)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict):
        raise EvidenceClaimsError("model_mismatch", "The model manifest is not an object.")
    return manifest
