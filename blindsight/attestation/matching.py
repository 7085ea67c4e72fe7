"""Matching a document with the releases of a policy, in the verifier's steps 3, 7 and 9.

Each step keeps the releases that match so far. If none is left, it raises the refusal of the first release that matched
until then. So the refusal names the difference from the most similar release.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from blindsight.attestation.release import version_key
from blindsight.errors import EvidenceChainError, EvidenceClaimsError, EvidenceMeasurementError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from typing import TypeAlias

    from blindsight.attestation.claims import Claims
    from blindsight.attestation.policy import Policy, UnsafeAcceptAnything
    from blindsight.attestation.release import Release
    from blindsight.errors import EvidenceError

    AnyPolicy: TypeAlias = Policy | UnsafeAcceptAnything


def check_policy(policy: AnyPolicy, *, at: datetime) -> None:
    """Raise `PolicyError` `policy_expired` if the policy has expired at the time `at`."""
    if policy.expires is not None and at >= policy.expires:
        raise PolicyError("policy_expired", f"The policy expired at {policy.expires:%Y-%m-%d %H:%M:%SZ}.")


def by_root(policy: AnyPolicy, root_sha256: str) -> Sequence[Release]:
    """The releases that list this root, all of one kind. Raises `EvidenceChainError`."""
    releases = policy.releases_of(root_sha256)
    if not releases:
        raise EvidenceChainError("root_not_pinned", f"The root {root_sha256} is not in the policy.")
    return releases


def outdated(policy: AnyPolicy, release: Release, *, at: datetime) -> EvidenceError | None:
    """Why `policy`, which has this release, does not accept it at the time `at`: its version, or its end."""
    least, found = policy.minimum_version, release.version
    if least is not None and (found is None or version_key(found, "") < version_key(least, "")):
        text = f"The release is version {found or 'unknown'}; {least} is the lowest that the policy accepts."
        return EvidenceMeasurementError("release_too_old", text)
    if release.expires is not None and at >= release.expires:
        text = f"The release was accepted until {release.expires:%Y-%m-%d %H:%M:%SZ}."
        return EvidenceMeasurementError("release_expired", text)
    return None


def by_measurements(
    releases: Sequence[Release], pcrs: Mapping[int, bytes], *, policy: AnyPolicy, at: datetime
) -> Sequence[Release]:
    """The releases that are accepted at the time `at` and list these `pcrs`. Raises `EvidenceMeasurementError`."""
    for index, measured in sorted(pcrs.items()):
        if _among(measured, policy.refuse):
            raise EvidenceMeasurementError(
                "release_recalled", f"PCR {index} is {measured.hex()}, which the policy refuses."
            )

    def age(release: Release) -> EvidenceError | None:
        return outdated(policy, release, at=at)

    def measurements(release: Release) -> EvidenceError | None:
        for index, accepted in sorted(release.pcrs.items()):
            measured = pcrs.get(index)
            if measured is None:
                return EvidenceMeasurementError("pcr_missing", f"The document has no PCR {index}.")
            if not _among(measured, accepted):
                text = f"PCR {index} is {measured.hex()}, which the policy does not accept."
                return EvidenceMeasurementError("pcr_mismatch", text)
        return None

    return _kept(_kept(releases, age), measurements)


def by_identity(releases: Sequence[Release], claims: Claims | None, *, policy: AnyPolicy) -> Release:
    """The first of the releases that accepts function and model. Raises `EvidenceClaimsError`."""
    names = {} if claims is None else {"function": claims.func_checksum, "model": claims.model_sha256}
    for name, digest in names.items():
        if _among(digest, policy.refuse):
            raise EvidenceClaimsError("release_recalled", f"The {name} is {digest.hex()}, which the policy refuses.")

    def function(release: Release) -> EvidenceError | None:
        asked = release.function_checksums is not None or release.model_digests is not None
        if asked and claims is None:
            text = "The document names no function and no model."
            return EvidenceClaimsError("claims_missing", text)
        return _identity(names.get("function"), release.function_checksums, "function")

    def model(release: Release) -> EvidenceError | None:
        return _identity(names.get("model"), release.model_digests, "model")

    return _kept(_kept(releases, function), model)[0]


def _identity(digest: bytes | None, accepted: frozenset[str] | None, name: str) -> EvidenceError | None:
    if digest is None or accepted is None or _among(digest, accepted):
        return None
    return EvidenceClaimsError(f"{name}_not_accepted", f"The {name} is {digest.hex()}.")


def _kept(releases: Sequence[Release], refusal: Callable[[Release], EvidenceError | None]) -> Sequence[Release]:
    """The `releases` without a refusal. Raises the first refusal if none is left."""
    refusals = [refusal(release) for release in releases]
    kept = [release for release, error in zip(releases, refusals, strict=True) if error is None]
    if not kept:
        raise next(error for error in refusals if error is not None)
    return kept


def _among(value: bytes, accepted: frozenset[str]) -> bool:
    return any(hmac.compare_digest(value, bytes.fromhex(candidate)) for candidate in accepted)
