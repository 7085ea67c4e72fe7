"""What entries of the audit log state about settings, policies and evidence."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import rfc8785

from blindsight import files
from blindsight.attestation import cose
from blindsight.attestation.document import AttestationDocument
from blindsight.attestation.policy import Policy
from blindsight.errors import EvidenceError

if TYPE_CHECKING:
    from pathlib import Path

    from blindsight.attestation.release import Release
    from gateway.settings import Settings

_MAX_POLICY_BYTES: Final = 1 << 20


def names_of(settings: Settings) -> list[str]:
    """The variables that are set, without their values, which can be secrets."""
    return sorted(f"BLINDSIGHT_{name.upper()}" for name in settings.model_fields_set)


def load_policy(path: Path) -> tuple[Policy, str]:
    """The policy at `path`, and the SHA-256 of just these bytes of the file. Raises `PolicyError`, `OSError`."""
    while True:
        policy = Policy.load(path)
        content = files.read(path, _MAX_POLICY_BYTES)
        try:
            if Policy.from_json(content.decode()) == policy:
                return policy, hashlib.sha256(content).hexdigest()
        except UnicodeDecodeError:
            continue  # Replaced in between: `load` says what is wrong with it.


def policy(loaded: Policy) -> dict[str, Any]:
    """The releases of a policy, each with a digest of the measurements that it accepts."""
    return {"releases": [_release(release) for release in loaded.releases]}


def _release(release: Release) -> dict[str, Any]:
    accepted = {
        "pcrs": {str(index): sorted(values) for index, values in release.pcrs.items()},
        "function_checksums": None if release.function_checksums is None else sorted(release.function_checksums),
        "model_digests": None if release.model_digests is None else sorted(release.model_digests),
    }
    digest = hashlib.sha256(rfc8785.dumps(accepted)).hexdigest()
    return {"kind": release.kind, "name": release.name, "version": release.version, "measurements_sha256": digest}


def evidence(document: bytes, measurements: dict[str, str]) -> dict[str, Any]:
    """Verified evidence: its digest and measurements (hexadecimal, by PCR)."""
    return {"evidence_sha256": hashlib.sha256(document).hexdigest(), "measurements": measurements}


def refused_evidence(document: object) -> dict[str, Any]:
    """Refused evidence: its digest, and the measurements that it claims, if it can be parsed."""
    if not isinstance(document, bytes):
        return {}
    told: dict[str, Any] = {"evidence_sha256": hashlib.sha256(document).hexdigest()}
    try:
        parsed = AttestationDocument.parse(cose.parse(document, unsigned=True).payload)
    except EvidenceError:
        return told
    return {**told, "claimed_measurements": {str(n): pcr.hex() for n, pcr in sorted(parsed.pcrs.items()) if any(pcr)}}
