"""A verified enclave with its keys and model manifest, to which clients encrypt requests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from blindsight import strict_json
from blindsight.attestation import verifier
from blindsight.attestation.steps import Steps
from blindsight.errors import EvidenceClaimsError, SealingError, TransportError
from blindsight.sealing import keyconfig

if TYPE_CHECKING:
    from datetime import datetime

    from blindsight.attestation.claims import Claims
    from blindsight.attestation.policy import Policy, UnsafeAcceptAnything
    from blindsight.attestation.report import VerificationReport, Verified
    from blindsight.sealing.keyconfig import KeyConfig


@dataclass(frozen=True)
class Recipient:
    """An enclave whose evidence was accepted."""

    config: KeyConfig
    verified: Verified
    document: bytes
    key_configs: bytes
    """The attested `application/ohttp-keys` list."""
    manifest: dict[str, Any]

    @property
    def classes(self) -> int:
        """Number of classes of the model. Raises `TransportError` if the attested manifest does not state it."""
        match self.manifest.get("labels"):
            case {"count": int() as count} if count >= 1 and not isinstance(count, bool):
                return count
        raise TransportError("unexpected_answer", "The enclave's model manifest does not state a number of classes.")

    @property
    def report(self) -> VerificationReport:
        return self.verified.report

    @property
    def function_checksum(self) -> str:
        """The attested SHA-256 of the bundle, hex."""
        return self.claims.func_checksum.hex()

    @property
    def model_digest(self) -> str:
        """The attested SHA-256 of the canonical manifest, hex."""
        return self.claims.model_sha256.hex()

    @property
    def measurements(self) -> dict[str, str]:
        """PCR index to hex, without the PCRs that are zero."""
        return {str(index): value.hex() for index, value in sorted(self.verified.document.pcrs.items()) if any(value)}

    @property
    def notices(self) -> tuple[str, ...]:
        """Statements that every caller has to see, such as that the evidence is simulated."""
        notices = [str(self.manifest["notice"])] if "notice" in self.manifest else []
        if not self.manifest.get("trained"):
            notices.append("UNTRAINED WEIGHTS: this model has learnt nothing and its answers are noise.")
        if self.report.notice is not None:
            notices.append(self.report.notice)
        return (*self.report.warnings, *notices)

    @property
    def notice(self) -> str | None:
        """All notices as one text; None if there are none."""
        return " ".join(self.notices) or None

    def summary(self) -> dict[str, Any]:
        """The member `enclave` of an answer."""
        return {
            "kind": self.verified.kind,
            "verified": True,
            "function_checksum": self.function_checksum,
            "measurements": self.measurements,
        }

    @property
    def document_sha256(self) -> str:
        """SHA-256 of the attestation document, hex, which a receipt contains."""
        return hashlib.sha256(self.document).hexdigest()

    @property
    def claims(self) -> Claims:
        """The document's claims."""
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
    """Verify evidence and compare keys and manifest with their attested digests: steps 1 to 11.

    `manifest` is the canonical model manifest; `nonce` is fresh and used only once. Raises `EvidenceError`,
    `PolicyError` if the policy has expired, or `SealingError` if this client supports none of the enclave's key
    configurations.
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
